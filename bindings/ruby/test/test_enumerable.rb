# frozen_string_literal: true

# Walking a store, and what Enumerable makes of it.

require_relative "helper"

class TestEnumerable < SegmentTest
  def filled(size)
    kv = open
    size.times { |i| kv["k#{i}"] = "v#{i}" }
    kv
  end

  def expected(size)
    size.times.to_h { |i| ["k#{i}", "v#{i}"] }
  end

  def test_each
    kv = filled(500)
    seen = {}
    assert_same(kv, kv.each { |key, value| seen[key] = value })
    assert_equal expected(500), seen
    pairs = []
    kv.each_pair { |pair| pairs << pair }
    assert_equal expected(500), pairs.to_h
    keys = []
    kv.each_key { |key| keys << key }
    assert_equal expected(500).keys.sort, keys.sort
    values = []
    kv.each_value { |value| values << value }
    assert_equal expected(500).values.sort, values.sort
  end

  def test_keys_values_to_h
    kv = filled(50)
    assert_equal expected(50).keys.sort, kv.keys.sort
    assert_equal expected(50).values.sort, kv.values.sort
    assert_equal expected(50), kv.to_h
    assert_equal expected(50), kv.get_all
    assert_equal(expected(50).to_h { |k, v| [v, k] }, kv.to_h { |k, v| [v, k] })
  end

  def test_enumerable
    kv = filled(20)
    assert_kind_of Enumerable, kv
    assert_equal expected(20).to_a.sort, kv.sort
    assert_equal expected(20).keys.sort, kv.map { |key, _| key }.sort
    assert_equal [%w[k7 v7]], kv.find_all { |key, _| key == "k7" }
    assert_equal %w[k7 v7], kv.find { |_, value| value == "v7" }
    assert_equal 2, kv.count { |key, _| %w[k1 k2].include?(key) }
    assert_equal 20, kv.each_with_index.to_a.size
    assert_equal 20, kv.each_with_object([]) { |(key, _), all| all << key }.size
    assert_equal(20, kv.reduce(0) { |sum, (_, _)| sum + 1 })
    assert_equal %w[k0 v0], kv.min
    assert_equal 2, kv.first.size
    assert_equal 3, kv.first(3).size
    assert_equal 2, kv.lazy.map { |key, _| key }.first(2).size
    assert_equal "k1", kv.min_by { |key, _| key == "k1" ? 0 : 1 }.first
    assert_equal 2, kv.group_by { |key, _| key.size }.size
  end

  def test_what_a_hash_gives_as_a_hash
    kv = filled(20)
    hash = expected(20)
    even = ->(key, _) { key[1..].to_i.even? }
    %i[select filter reject].each do |method|
      assert_equal hash.public_send(method, &even), kv.public_send(method, &even), method
      assert_equal hash.public_send(method) { |pair| pair == "k1" }, kv.public_send(method) { |key| key == "k1" }, method
      assert_equal 20, kv.public_send(method).size, method
    end
    assert_equal %w[k3], kv.reject.each { |key, _| key != "k3" }.keys
    assert_equal({ "k5" => "v5" }, kv.select.with_index { |(key, _), _i| key == "k5" })
  end

  def test_what_is_there_or_not
    kv = filled(20)
    assert(kv.any? { |key, value| key == "k3" && value == "v3" })
    refute(kv.any? { |key, value| key == "k3" && value == "v4" })
    assert(kv.all? { |key, value| key[1..] == value[1..] })
    assert(kv.none? { |_, value| value == "v20" })
    assert(kv.one? { |key, _| key == "k0" })
    assert_predicate kv, :any?
    refute_predicate kv, :none?
    refute_predicate open, :any?
    assert_equal "k7", kv.key("v7")
    assert_nil kv.key("v20")
    assert kv.value?("v7")
    assert kv.has_value?("v0")
    refute kv.value?("v20")
    kv["nil"] = nil
    assert_equal "nil", kv.key(nil)
    assert kv.value?(nil)
  end

  def test_to_a_and_the_like
    kv = filled(20)
    assert_equal expected(20).to_a.sort, kv.to_a.sort
    assert_equal expected(20).to_a.sort, kv.entries.sort
    assert_equal [%w[k1 v1], %w[k2 v2]], kv.partition { |key, _| %w[k1 k2].include?(key) }.first.sort
    assert_equal %w[v1], kv.filter_map { |key, value| value if key == "k1" }
    assert_equal 20, kv.flat_map { |key, _| [key] }.uniq.size
    assert_equal(20, kv.sum { |_, _| 1 })
    assert_equal 10, kv.each_slice(2).to_a.size
    assert_equal 20, kv.zip(1..20).size
    assert_equal 20, kv.each_entry.to_a.size
    other = open
    other.update(kv)
    assert_equal expected(20), other.to_h
  end

  def test_enumerators
    kv = filled(10)
    assert_equal 10, kv.each.size
    assert_equal expected(10), kv.each_pair.to_a.to_h
    walk = kv.each_key
    assert_equal 10, Array.new(10) { walk.next }.uniq.size
    assert_raises(StopIteration) { walk.next }
  end

  def test_leaving_early
    kv = filled(100)
    100.times { kv.each { break } }
    assert_equal(1, kv.each { |_| break 1 })
    assert_raises(ZeroDivisionError) { kv.each { 1 / 0 } }
    assert_equal 100, kv.to_a.size
  end

  def test_deleting_while_iterating
    kv = filled(300)
    kv.each_key { |key| kv.delete(key) }
    assert_equal 0, kv.size
  end

  def test_keys_that_stay_are_seen_once_while_others_come
    kv = filled(200)
    seen = []
    kv.each_key.with_index do |key, i|
      seen << key if key.start_with?("k")
      10.times { |n| kv["extra #{i} #{n}"] = "x" * 100 } if i < 2000
    end
    assert_equal expected(200).keys.sort, seen.sort
  end

  def test_closing_while_iterating
    kv = filled(100)
    seen = 0
    assert_raises(ShmKV::Closed) do
      kv.each do
        seen += 1
        kv.close
      end
    end
    assert_equal 1, seen
  end

  def test_replaced_while_iterating
    kv = filled(100)
    assert_raises(ShmKV::Stale) do
      kv.each { ShmKV.open(kv.name, mode: :exclusive).close }
    end
    assert_empty kv.to_a
  end
end
