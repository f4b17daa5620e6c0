# frozen_string_literal: true

# One segment, several processes.

require_relative "helper"

class TestFork < SegmentTest
  def test_store_from_before_the_fork_works_in_both
    kv = open
    kv["parent"] = "before"
    in_child do
      raise "cannot read" unless kv["parent"] == "before"

      kv["child"] = "was here"
      kv["parent"] = "seen"
    end
    assert_equal "was here", kv["child"]
    assert_equal "seen", kv["parent"]
    kv["parent"] = "after"
    assert_equal "after", kv["parent"]
    assert_empty kv.verify
  end

  def test_closing_in_the_child_leaves_the_parent_alone
    kv = open
    in_child { kv.close }
    kv["k"] = "v"
    assert_equal "v", kv["k"]
  end

  def test_child_opens_by_name
    kv = open
    in_child { ShmKV.open(kv.name) { |own| own["from"] = "child" } }
    assert_equal "child", kv["from"]
  end

  def test_children_write_at_once
    kv = open
    pids = Array.new(4) do |worker|
      fork do
        1000.times { |i| kv["#{worker}/#{i}"] = "value #{i}" }
        exit!(0)
      ensure
        exit!(1)
      end
    end
    assert(pids.all? { |pid| Process.wait2(pid)[1].success? })
    expected = 4.times.flat_map { |w| 1000.times.map { |i| ["#{w}/#{i}", "value #{i}"] } }.to_h
    assert_equal expected, kv.get_all
    assert_empty kv.verify
  end

  def test_child_is_killed_while_it_writes
    kv = open
    5.times do |round|
      pid = fork { (0..).each { |i| kv["k#{i % 50}"] = "#{i} " * 20 } }
      sleep 0.02
      Process.kill(:KILL, pid)
      Process.wait(pid)
      kv.get_all.each do |key, value|
        assert_match(/\A(\d+ )\1{19}\z/, value, key) unless key == "steady"
      end
      kv["steady"] = round.to_s
      assert_equal round.to_s, kv["steady"]
    end
    assert_empty kv.verify
  end

  def test_closing_in_a_child_that_was_forked_while_another_thread_waits
    kv = open
    kv["k"] = 0
    version = kv.get_item("k")[:version]
    waiting = Thread.new { kv.wait("k", version: version) }
    Thread.pass until waiting.status == "sleep"
    in_child do
      kv.set("bound", 1, bound: true)
      kv.close
      ShmKV.open(kv.name) { |other| raise "it did not go with the Store" if other["bound"] }
    end
    in_child do
      begin
        kv.transaction("k") do
          kv.set("bound", 1, bound: true)
          kv.close # which takes effect when the transaction has ended
        end
        raise "not closed"
      rescue ShmKV::Closed
        ShmKV.open(kv.name) { |other| raise "it did not go with the Store" if other["bound"] }
      end
    end
    fork_inside = lambda do |txn|
      in_child { kv.close }
      txn["k"]
    end
    assert_equal 0, kv.transaction("k", &fork_inside)
    kv["k"] = 1
    assert_equal true, waiting.value
  end
end

class TestRactor < SegmentTest
  def setup
    super
    skip "this Ruby has no Ractor" unless defined?(Ractor)
    @before = [Warning[:experimental], Thread.report_on_exception]
    Warning[:experimental] = Thread.report_on_exception = false
    @kv = open
    @kv["k"] = 1
  end

  def teardown
    Warning[:experimental], Thread.report_on_exception = @before if @before
    super
  end

  def test_a_store_is_not_for_other_ractors
    assert_raises(TypeError) { Ractor.new(@kv) { |kv| kv["k"] } }
    receiver = Ractor.new { Ractor.receive }
    assert_raises(Ractor::Error) { receiver.send(@kv, move: true) }
    receiver.send(nil)
    assert_raises(Ractor::Error) { Ractor.make_shareable(@kv) }
    assert_equal 1, @kv["k"], "it harms nothing"
  end

  def test_another_ractor_cannot_open_a_segment
    ractor = Ractor.new(@kv.name) { |name| ShmKV.open(name) { |kv| kv["k"] } }
    error = assert_raises(Ractor::RemoteError) { ractor.respond_to?(:take) ? ractor.take : ractor.value }
    assert_kind_of Ractor::UnsafeError, error.cause
  end
end
