# Runs minitest files. Finding no test is a failure: a misnamed one must not pass for years.
require "minitest/autorun"

files = ARGV.grep(%r{/test_[^/]*\.rb\z})
ARGV.replace(["--verbose"]) # what is left there is read by minitest
files.each { |file| require file }
tests = Minitest::Runnable.runnables.flat_map { |runnable| runnable.public_instance_methods.grep(/\Atest_/) }
abort "no tests in #{files.join(' ')}" if tests.empty?
