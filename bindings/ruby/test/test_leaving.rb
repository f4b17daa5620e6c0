# frozen_string_literal: true

# Whichever way a block that we call is left: nothing stays locked, nothing has changed, and the next call works.

require "open3"
require "timeout"
require_relative "helper"

class TestLeaving < SegmentTest
  class Gone < StandardError; end

  # A codec that is left.
  Left = Struct.new(:leave) do
    def dump(_) = leave.call
    def load(_) = leave.call
  end

  IN_TRANSACTION = lambda do |kv, leave|
    kv.transaction("n", "t") do |txn|
      txn["n"] = 8
      txn.delete("t")
      leave.call
    end
  end

  WITH_CODEC = ->(use) { ->(kv, leave) { ShmKV.open(kv.name, codec: Left.new(leave), &use) } }

  CALLS = {
    "modify" => ->(kv, leave) { kv.modify("n") { leave.call } },
    "modify, absent" => ->(kv, leave) { kv.modify("none") { leave.call } },
    "get_or_compute" => ->(kv, leave) { kv.get_or_compute("none") { leave.call } },
    "lock" => ->(kv, leave) { kv.lock("n") { leave.call } },
    "two locks" => ->(kv, leave) { kv.lock("n") { kv.lock("other") { leave.call } } },
    "transaction" => IN_TRANSACTION,
    "transaction in lock" => ->(kv, leave) { kv.lock("n") { IN_TRANSACTION.call(kv, leave) } },
    "lock in transaction" => ->(kv, leave) { kv.transaction("n") { kv.lock("n") { leave.call } } },
    "transaction in transaction" => lambda do |kv, leave|
      kv.transaction("n") do |txn|
        txn["n"] = 9
        IN_TRANSACTION.call(kv, leave)
      end
    end,
    "put_many" => ->(kv, leave) { kv.put_many(Enumerator.new { |to| to << ["none", 1] and leave.call }) },
    "update" => ->(kv, leave) { kv.update({ "n" => 1 }) { leave.call } },
    "fetch" => ->(kv, leave) { kv.fetch("none") { leave.call } },
    "fetch_values" => ->(kv, leave) { kv.fetch_values("none") { leave.call } },
    "delete" => ->(kv, leave) { kv.delete("none") { leave.call } },
    "each" => ->(kv, leave) { kv.each { leave.call } },
    "each_key" => ->(kv, leave) { kv.each_key { leave.call } },
    "each_value" => ->(kv, leave) { kv.each_value { leave.call } },
    "select" => ->(kv, leave) { kv.select { leave.call } },
    "map" => ->(kv, leave) { kv.map { leave.call } },
    "cursor" => ->(kv, leave) { kv.cursor.each { leave.call } },
    "open" => ->(kv, leave) { ShmKV.open(kv.name) { leave.call } },
    "codec, put" => WITH_CODEC.call(->(coded) { coded["n"] = 1..2 }),
    "codec, set" => WITH_CODEC.call(->(coded) { coded.set("n", 1..2, ttl: 5) }),
    "codec, put_many" => WITH_CODEC.call(->(coded) { coded.put_many({ "none" => 1..2 }) }),
    "codec, modify" => WITH_CODEC.call(->(coded) { coded.modify("n") { 1..2 } }),
    "codec, transaction" => WITH_CODEC.call(->(coded) { coded.transaction("n") { |txn| txn["n"] = 1..2 } }),
    "codec, get_or_compute" => WITH_CODEC.call(->(coded) { coded.get_or_compute("none") { 1..2 } }),
    "codec, get" => WITH_CODEC.call(->(coded) { coded["coded"] }),
    "codec, get_item" => WITH_CODEC.call(->(coded) { coded.get_item("coded") }),
    "codec, get_all" => WITH_CODEC.call(->(coded) { coded.get_all }),
    "codec, each" => WITH_CODEC.call(->(coded) { coded.each { nil } }),
    "codec, txn.get" => WITH_CODEC.call(->(coded) { coded.transaction("coded") { |txn| txn["coded"] } })
  }.freeze

  def setup
    @kv = open
    @kv.update({ "n" => 7, "t" => "text" })
    ShmKV.open(@kv.name, codec: Marshal) { |coded| coded["coded"] = 1..2 }
    @other = ShmKV.open(@kv.name)
    @was = items
    @reported = Thread.report_on_exception
    Thread.report_on_exception = false
  end

  def teardown
    Thread.report_on_exception = @reported
    @other.close
    super
  end

  def items = @kv.keys.to_h { |key| [key, @kv.get_item(key)] }

  def held
    table, status = Open3.capture2(ENV.fetch("SHMKV_INSPECT"), "held", @kv.name)
    assert_predicate status, :success?
    table.lines.drop(1)
  end

  def nothing_stays(message)
    assert_empty held, message
    assert_empty(@kv.locks.select { |lock| lock[:owner] }, message)
    assert_empty @kv.verify, message
    assert_equal @was, items, message
  end

  def the_next_call_works
    [@kv, @other].each do |kv|
      kv.lock("n", timeout: 0) { kv.lock("other", timeout: 0) { kv.lock("none", timeout: 0) { assert_equal 3, held.size } } }
      assert_equal 5, kv.get_or_compute("next", timeout: 0) { 5 }
      assert_equal(6, kv.modify("next") { |n| n + 1 })
      assert(kv.transaction("next") { |txn| txn.delete("next") })
    end
  end

  # Each call is to be left by this; the block is given the call, and checks how it came out.
  def each_left_by(leave)
    CALLS.each do |name, call|
      yield -> { call.call(@kv, leave) }, name
      nothing_stays(name)
    end
    the_next_call_works
  end

  def test_exceptions
    [Gone, Interrupt, SystemExit, NoMemoryError, StopIteration, ShmKV::NoSpace].each do |error|
      each_left_by(-> { raise error, "gone" }) do |call, name|
        assert_equal "gone", assert_raises(error, name, &call).message
      end
    end
  end

  def test_throw
    each_left_by(-> { throw :out, 5 }) { |call, name| assert_equal 5, catch(:out) { call.call }, name }
  end

  def test_timeout
    each_left_by(-> { sleep }) { |call, name| assert_raises(Timeout::Error, name) { Timeout.timeout(0.005) { call.call } } }
  end

  def test_a_signal
    before = trap(:USR1) { raise Gone }
    each_left_by(-> { Process.kill(:USR1, Process.pid) && sleep }) { |call, name| assert_raises(Gone, name, &call) }
  ensure
    trap(:USR1, before)
  end

  def test_thread_raise_and_kill
    inside = Queue.new
    each_left_by(-> { inside.push(1) && sleep }) do |call, name|
      [->(thread) { thread.raise(Gone) }, :kill.to_proc].each do |stop|
        thread = Thread.new(&call)
        inside.pop
        stop.call(thread)
        begin
          thread.join
        rescue Gone
          nil
        end
        refute_predicate thread, :alive?, name
      end
    end
  end

  def test_a_thread_that_kills_itself
    each_left_by(-> { Thread.exit }) { |call, name| assert_nil Thread.new(&call).value, name }
  end

  # What cannot come through a lambda.
  def test_break_next_and_return
    kv = @kv
    assert_equal 5, kv.lock("n") { break 5 }
    assert_equal(5, kv.lock("n") { next 5 })
    assert_equal 5, kv.modify("n") { break 5 }
    assert_equal 5, kv.get_or_compute("none") { break 5 }
    assert_equal(5, kv.transaction("n") { |txn| break (txn["n"] = 5) })
    assert_equal 5, kv.each { break 5 }
    assert_equal 5, kv.select { break 5 }
    assert_equal 5, kv.delete("none") { break 5 }
    assert_equal 5, returned_from(:lock, "n")
    assert_equal 5, returned_from(:modify, "n")
    assert_equal 5, returned_from(:get_or_compute, "none")
    assert_equal 5, returned_from(:transaction, "n")
    assert_equal 5, returned_from(:each)
    runs = 0
    kv.lock("n") { (runs += 1) < 3 ? redo : 5 }
    assert_equal 3, runs
    nothing_stays("break and return")
    the_next_call_works
  end

  def returned_from(method, *arguments)
    @kv.public_send(method, *arguments) { return 5 }
    flunk
  end

  def test_a_fiber_that_is_left_behind
    walk = @kv.each_pair
    walk.next
    assert_equal 3, @kv.each_key.first(3).size
    nothing_stays("a fiber")
    the_next_call_works
  end

  def test_a_child_that_leaves_does_not_let_the_parents_lock_go
    parent = Process.pid
    left = begin
      @kv.lock("n") do
        if (pid = fork)
          assert_predicate Process.wait2(pid)[1], :success?
          assert_raises(ShmKV::TimedOut) { @other.lock("n", timeout: 0) { flunk } }
          "parent"
        end
      end
    rescue ShmKV::Changed
      exit!(0) if Process.pid != parent
      raise
    end
    exit!(1) if Process.pid != parent
    assert_equal "parent", left
    nothing_stays("fork")
    the_next_call_works
  end

  def test_close_inside_lets_it_go
    assert_raises(ShmKV::Closed) { ShmKV.open(@kv.name) { |kv| kv.lock("n") { kv.close } } }
    assert_raises(Gone) { ShmKV.open(@kv.name) { |kv| kv.lock("n") { kv.close && raise(Gone) } } }
    name = +"n"
    @kv.lock(name) { name.replace("another name") }
    nothing_stays("close")
  end

  # Before this was in C, nine of ten were in between, and the lock stayed.
  def test_an_interrupt_at_any_point_of_taking_and_letting_go
    chance = Random.new(1)
    100.times do
      begun = Queue.new
      thread = Thread.new { begun.push(1) && loop { @kv.lock("n") { nil } } }
      begun.pop
      chance.rand(2000).times { nil }
      thread.raise(Gone)
      assert_raises(Gone) { thread.join }
      assert_equal 5, @other.lock("n", timeout: 0) { 5 }
    end
    nothing_stays("interrupts")
  end
end
