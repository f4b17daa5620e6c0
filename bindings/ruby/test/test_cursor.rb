# frozen_string_literal: true

# Cursors: prefixes and positions.

require "minitest/autorun"
require_relative "helper"

class CursorTest < SegmentTest
  def filled(count = 2000, **options)
    kv = open(**options)
    kv.put_many((0...count).map { |i| [i.odd? ? "user:#{i}" : "other:#{i}", i] })
    kv
  end

  def test_each_of_a_prefix_gives_what_begins_with_it
    kv = filled
    users = (1...2000).step(2).to_h { |i| ["user:#{i}", i] }
    assert_equal users, kv.each(prefix: "user:").to_h
    assert_equal users.keys.sort, kv.keys(prefix: "user:").sort
    assert_equal users.values.sort, kv.values(prefix: "user:").sort
    assert_equal 1000, kv.each_key(prefix: "user:").count
    assert_equal 2000, kv.each(prefix: "").count
    assert_equal [], kv.keys(prefix: "user:12345678")
    assert_raises(TypeError) { kv.keys(prefix: 5) }
    assert_raises(ShmKV::BadKey) { kv.keys(prefix: "x" * 65_537) }
  end

  def test_values_may_be_nil_and_false
    kv = open
    kv.put_many({ "a" => nil, "b" => false, "c" => 1 })
    assert_equal 3, kv.values.size
    assert_equal 3, kv.cursor.to_a.size
  end

  def test_another_cursor_goes_on_from_a_position
    kv = filled
    position = nil
    seen = []
    loop do
      some = ShmKV.open(kv.name, mode: :readonly) do |other|
        cursor = other.cursor(prefix: "user:", position: position)
        given = cursor.first(70)
        position = cursor.position
        given
      end
      assert_equal 32, position.bytesize
      break if some.empty?

      seen.concat(some)
      kv.put_many((0...3000).map { |i| ["more:#{seen.size}:#{i}", nil] })
    end
    assert_equal((1...2000).step(2).map { |i| ["user:#{i}", i] }.sort, seen.sort)
    assert_nil kv.cursor(position: position).next
  end

  def test_cursor_is_enumerable_and_ends
    kv = filled(10)
    cursor = kv.cursor(keys_only: true)
    first = cursor.next
    assert_equal kv.keys.sort, [first, *cursor].sort
    assert_nil cursor.next
    assert_equal 32, cursor.position.bytesize
    cursor.close
    cursor.close
    assert_raises(ShmKV::Closed) { cursor.next }
    assert_raises(ShmKV::Closed) { cursor.position }
    cursor = kv.cursor
    kv.close
    assert_raises(ShmKV::Closed) { cursor.next }
    assert_raises(ShmKV::Closed) { kv.cursor }
  end

  def test_position_of_a_killed_process_is_good
    kv = filled(5000)
    reader, writer = IO.pipe("BINARY")
    pid = fork do
      cursor = kv.cursor(keys_only: true)
      1500.times { writer.write(Marshal.dump([cursor.next, cursor.position])) }
      sleep
    end
    writer.close
    position = nil
    seen = Array.new(1500) do
      key, position = Marshal.load(reader)
      key
    end
    Process.kill(:KILL, pid)
    Process.wait(pid)
    kv.put_many((0...60_000).map { |i| ["more:#{i}", i] })
    seen.concat(kv.cursor(position: position, keys_only: true).reject { |key| key.start_with?("more:") })
    assert_equal 5000, seen.size
    assert_equal 5000, seen.uniq.size
  end

  def test_position_that_is_none_is_refused
    kv = filled(100)
    cursor = kv.cursor
    cursor.next
    position = cursor.position
    ["", "x", position[0...-1], "#{position}x", "\0" * 32, position.reverse].each do |wrong|
      assert_raises(ShmKV::BadArgument, wrong.inspect) { kv.cursor(position: wrong) }
    end
    assert_raises(TypeError) { kv.cursor(position: 5) }
    assert_raises(ShmKV::Stale) { open.cursor(position: position) }
    ShmKV.open(kv.name, mode: :exclusive, &:itself)
    assert_raises(ShmKV::Stale) { cursor.position }
    assert_raises(ShmKV::Stale) { kv.cursor(position: position) }
  end
end
