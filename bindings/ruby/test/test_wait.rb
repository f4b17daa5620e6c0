# frozen_string_literal: true

# Waiting for changes.

require_relative "helper"
require "timeout"

class TestWait < SegmentTest
  def setup
    super
    @kv = open
  end

  def test_what_is_another_already
    assert_equal true, @kv.wait("k", version: 1)
    @kv["k"] = 1
    version = @kv.get_item("k")[:version]
    assert_equal false, @kv.wait("k", version: version, timeout: 0)
    assert_equal false, @kv.wait("k", timeout: 0.01)
    assert_equal true, @kv.wait("k", version: 0)
  end

  def test_woken_by_a_change
    threads = Array.new(3) { Thread.new { @kv.wait("k", version: 0) } }
    in_child { @kv["k"] = 1 }
    assert_equal [true] * 3, threads.map(&:value)
  end

  def test_watch
    changed, position = @kv.watch(timeout: 0)
    assert_equal false, changed
    @kv["k"] = 1
    changed, position = @kv.watch(position)
    assert_equal true, changed
    assert_equal [false, position], @kv.watch(position, timeout: 0.01)
    thread = Thread.new { @kv.watch(position) }
    @kv["l"] = 1
    assert_equal true, thread.value.first
  end

  def test_a_thread_that_waits_can_be_ended
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { @kv.wait("k") } }
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { @kv.watch } }
    thread = Thread.new { @kv.wait("k") }
    Thread.pass until thread.status == "sleep"
    thread.kill
    assert_same thread, thread.join(60)
    @kv["k"] = 1
    assert_empty @kv.verify
  end

  def test_closed_by_another_thread
    thread = Thread.new { assert_raises(ShmKV::Closed) { @kv.wait("k", version: 0) } }
    @kv.close
    thread.join
  end

  def test_what_cannot_be_waited_for
    assert_raises(ShmKV::BadArgument) { @kv.wait("k", timeout: -1) }
    assert_raises(ShmKV::ReadOnly) { ShmKV.open(@kv.name, mode: :readonly).wait("k") }
    @kv.freeze_segment
    assert_raises(ShmKV::Frozen) { @kv.wait("k") }
  end
end

class TestLock < SegmentTest
  def setup
    super
    @kv = open
    @other = ShmKV.open(@kv.name)
  end

  def teardown
    @other.close
    super
  end

  def test_what_raises_or_leaves_lets_it_go
    assert_raises(ZeroDivisionError) do
      @kv.lock("l") do |token|
        assert_operator token, :>, 0
        assert_raises(ShmKV::TimedOut) { @other.lock("l", timeout: 0) { flunk } }
        assert_raises(ShmKV::Deadlock) { @kv.lock("l") { flunk } }
        1 / 0
      end
    end
    [1].each { @kv.lock("l") { break } }
    assert_equal 5, @other.lock("l", timeout: 0) { 5 }
    assert_empty @kv
  end

  def test_a_lock_that_was_lost
    lost = assert_raises(ShmKV::Changed) { @kv.lock("l") { ShmKV.open(@kv.name, mode: :exclusive).close } }
    assert_match(/lock was lost/, lost.message)
  end

  def test_one_that_waits_can_be_ended
    @other.lock("l") do
      assert_raises(Timeout::Error) { Timeout.timeout(0.05) { @kv.lock("l") { flunk } } }
    end
    assert_equal 5, @kv.lock("l", timeout: 0) { 5 }
  end

  def test_get_or_compute
    assert_nil @kv.get_or_compute("k") { nil }
    assert_nil @kv.get_or_compute("k") { flunk }
    assert_raises(ZeroDivisionError) { @kv.get_or_compute("bad") { 1 / 0 } }
    assert_equal 5, @kv.get_or_compute("bad", timeout: 0, ttl: 1000) { 5 }
    refute_nil @kv.get_item("bad")[:expires_ns]
  end
end
