# frozen_string_literal: true

# put_many, delete_many, update and merge!: many keys in one call.

require "minitest/autorun"
require_relative "helper"

class ManyTest < SegmentTest
  def test_put_many_of_hash_or_pairs_keeps_types
    kv = open
    values = { "text" => "é", "bytes" => "\x00\xff".b, "int" => -5, "float" => 2.5, "true" => true, "nil" => nil,
               "array" => [1, "two", nil], "hash" => { "a" => {} }, "empty" => "", "long" => "x" * 100_000 }
    assert_equal true, kv.put_many(values)
    assert_equal values, kv.to_h { |key, value| [key.force_encoding("UTF-8"), value] }
    kv.clear
    kv.put_many(values.to_a)
    assert_equal values.size, kv.size
    kv.put_many([["a", :symbol], ["b", "latin é".encode("ISO-8859-1")]])
    assert_equal %w[symbol latin\ é], [kv["a"], kv["b"]]
    kv.put_many({})
    kv.put_many([])
    other = open
    other.put_many(kv)
    assert_equal kv.to_h, other.to_h
  end

  def test_put_many_of_a_wrong_argument_stores_nothing
    kv = open
    { ["", 1] => ShmKV::BadKey, [5, 1] => TypeError, ["k", 2**64] => ShmKV::BadValue, ["k", Object.new] => TypeError,
      ["k"] => ArgumentError, 5 => ArgumentError, ["k", "\xff"] => ShmKV::BadValue }.each do |wrong, error|
      pairs = (0...1000).map { |i| [i.to_s, i] }
      pairs.insert(700, wrong)
      assert_raises(error, wrong.inspect) { kv.put_many(pairs) }
      assert_empty kv
    end
    assert_raises(ShmKV::BadArgument) { kv.put_many({ "a" => 1 }, ttl: -1) }
    assert_empty kv
  end

  def test_put_many_without_space_tells_how_many
    kv = open(max_size: 4 << 20)
    error = assert_raises(ShmKV::NoSpace) { kv.put_many((0...200).map { |i| [i.to_s, "x" * 50_000] }) }
    assert_includes error.detail, "#{kv.size} of 200 done"
    assert_equal kv.size, error.done
    assert_operator kv.size, :>, 10
    assert_equal 0, assert_raises(ShmKV::BadKey) { kv.delete_many([""]) }.done
    assert_nil assert_raises(ShmKV::BadKey) { kv.delete("") }.done
  end

  def test_put_many_with_options
    kv = open
    kv.put_many({ "a" => 1, "b" => 2 }, ttl: 0)
    refute kv.key?("a")
    kv.put_many({ "a" => 1, "b" => 2 }, ttl: 1000, bound: true)
    assert kv.get_item("b")[:bound]
    assert kv.get_item("b")[:expires_ns]
  end

  def test_put_many_takes_values_as_they_are_at_the_call
    kv = open
    threads = 3.times.map do |n|
      Thread.new do
        value = +"x" * 200
        20.times { |i| kv.put_many((0...100).map { |k| ["#{n}-#{i}-#{k}", value] }) && value.replace("y" * 200) }
      end
    end
    threads.each(&:join)
    GC.start
    assert_equal 6000, kv.size
    assert(kv.each_value.all? { |value| value == "x" * 200 || value == "y" * 200 })
  end

  def test_put_many_survives_the_collector
    kv = open
    GC.stress = true
    begin
      kv.put_many((0...20).map { |i| ["key #{i}" * 10, i.odd? ? "value #{i}" * 20 : { "n" => [i] }] })
    ensure
      GC.stress = false
    end
    20.times { |i| assert_equal(i.odd? ? "value #{i}" * 20 : { "n" => [i] }, kv["key #{i}" * 10]) }
  end

  def test_update_is_as_of_a_hash
    kv = open
    plain = { "a" => 1, "b" => nil }
    assert_same kv, kv.update(plain)
    kv.merge!({ "a" => 2 }, { "c" => 3 })
    plain.merge!({ "a" => 2 }, { "c" => 3 })
    kv.update({ "a" => 5, "b" => 6, "d" => 7 }) { |key, old, new| "#{key}#{old}#{new}" }
    plain.update({ "a" => 5, "b" => 6, "d" => 7 }) { |key, old, new| "#{key}#{old}#{new}" }
    assert_equal plain, kv.to_h
    assert_same kv, kv.update
  end

  def test_delete_many_tells_how_many_there_were
    kv = open
    kv.put_many((0...1000).map { |i| [i.to_s, i] })
    assert_equal 500, kv.delete_many((500...1500).map(&:to_s))
    assert_equal 0, kv.delete_many([])
    assert_raises(ShmKV::BadKey) { kv.delete_many(["1", "2", ""]) }
    assert_raises(TypeError) { kv.delete_many(["1", 2]) }
    assert_equal 500, kv.size
    kv.close
    assert_raises(ShmKV::Closed) { kv.delete_many(["1"]) }
    assert_raises(ShmKV::Closed) { kv.put_many({}) }
  end

  # A Store that is closed gives its owner slot back, also if an interrupt kept some call of it
  # from beginning.
  def test_interrupted_calls_leave_nothing_behind
    watcher = open
    watcher.put("a", 1)
    40.times { interrupt_calls_of(ShmKV.open(watcher.name)) }
    assert_equal 1, watcher.owners.size
  end

  # By a thread that calls it until an interrupt comes, eight times. When they come is up to chance.
  def interrupt_calls_of(store)
    store.put("b", 2)
    thread = Thread.handle_interrupt(IndexError => :never) do
      Thread.new do
        8.times do
          Thread.handle_interrupt(IndexError => :immediate) { loop { store.sync } }
        rescue IndexError
          nil
        end
      end
    end
    while thread.alive?
      thread.raise(IndexError, "interrupt")
      sleep(0.0002)
    end
    thread.join
    store.close
  end
end
