# frozen_string_literal: true

# Segment names that no other test uses, and their removal.

require "minitest"
require "securerandom"
require "shmkv"

class SegmentTest < Minitest::Test
  # A name whose segment goes away with the test, whatever happens.
  def segment
    # Not the pid: tests in sandboxes of their own share pids, and /dev/shm.
    name = "shmkv-test-rb-#{SecureRandom.hex(8)}"
    (@segments ||= []) << name
    name
  end

  # A new segment, open.
  def open(**options)
    kv = ShmKV.open(segment, **options)
    (@open ||= []) << kv
    kv
  end

  def teardown
    (@open || []).each(&:close)
    (@segments || []).each do |name|
      ShmKV.unlink(name)
    rescue ShmKV::Error
      nil # the test removed it, or never made it
    end
  end

  # Run the block in a forked child, which must not raise.
  def in_child
    pid = fork do
      begin
        yield
      rescue Exception => e # whatever it is, the child must end here
        warn "in the child: #{e.inspect}"
        exit!(1)
      end
      exit!(0)
    end
    assert_predicate Process.wait2(pid)[1], :success?
  end
end
