# The Ruby part of the demonstration: a writer beside the Perl one. It keeps a marker up to date that tells how
# far the store has been filled, and looks at each time whether the marker is what it wrote.
require "shmkv"

ENOUGH = 500 # updates

$stdout.sync = true
def say(text) = puts("[ruby]   #{text}")

# Number of packages in the file.
def packages(path)
  File.read(path, mode: "rb").split(/\n{2,}/).count do |stanza|
    %w[Package Architecture Version].all? { |field| stanza.match?(/^#{field}: /n) }
  end
end

segment, status = ARGV
expected = packages(status)
pipe = IO.for_fd(3, "w")
pipe.sync = true
updates = 0
before = 0

ShmKV.open(segment) do |kv|
  say "process #{Process.pid}: opened '#{segment}' SHARED, and sees #{kv.size} entries"
  pipe.puts "attached"
  complete = false
  until complete
    complete = kv.key?("demo/complete") # asked first: the store that is counted below is then complete
    here = kv.size - ["demo/marker", "demo/complete"].count { |key| kv.key?(key) }
    abort "[ruby]   #{before} packages, and then only #{here}" if here + 1 < before
    before = [before, here].max
    marker = "update #{updates += 1}: #{here} of #{expected} packages"
    kv["demo/marker"] = marker
    abort "[ruby]   the marker is not what was written" unless kv["demo/marker"] == marker
    pipe.puts "enough" if updates == ENOUGH
  end
  abort "[ruby]   #{here} packages, but the file has #{expected}" unless here == expected
end
say "wrote the marker #{updates} times, and found each time what it had written"
