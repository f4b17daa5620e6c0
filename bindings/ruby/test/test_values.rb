# frozen_string_literal: true

# Values with types: what goes in comes out, and what would be lost is refused. Spec 10.

require_relative "helper"

class TestValues < SegmentTest
  SAME = {
    "bytes" => "\x00\xff".b,
    "no bytes" => "".b,
    "text" => "caf\u00e9 \u263a \u{1f600}",
    "text with a NUL" => "a\0b",
    "no text" => "",
    "zero" => 0,
    "minus one" => -1,
    "least" => -2**63,
    "most" => 2**63 - 1,
    "float" => 0.1 + 0.2,
    "whole float" => 3.0,
    "infinity" => Float::INFINITY,
    "true" => true,
    "false" => false,
    "nil" => nil,
    "array" => [1, 2.0, "three", nil, true, [], {}],
    "hash" => { "a" => { "b" => [1, -1, 1e300, 5e-324] }, "" => 0, "\u00e9" => "\u{1f600}" },
    "long text" => "\u00e9" * 5000
  }.freeze

  TYPES = { "bytes" => "bytes", "text" => "text", "zero" => "int64", "float" => "float64",
            "true" => "boolean", "nil" => "null", "array" => "json" }.freeze

  def setup
    super
    @kv = open
  end

  def assert_same_value(value, got, name)
    value.nil? ? assert_nil(got, name) : assert_equal(value, got, name)
    assert_equal value.class, got.class, name
    assert_equal value.encoding, got.encoding, name if value.is_a?(String)
  end

  # proves [VAL-01] [VAL-03]
  def test_values_come_back_as_they_were
    SAME.each do |name, value|
      @kv[name] = value
      assert_same_value value, @kv[name], name
      assert_same_value value, @kv.fetch(name, "default"), name
    end
    @kv.each { |key, value| assert_same_value SAME[key], value, key }
    assert_equal SAME, @kv.get_all
  end

  def test_item_tells_the_type
    TYPES.each do |name, type|
      @kv[name] = SAME[name]
      assert_equal type, @kv.get_item(name)[:type]
    end
  end

  def test_nan_is_kept
    @kv["nan"] = Float::NAN
    assert @kv["nan"].nan?
  end

  # proves [VAL-02] [VAL-04]
  def test_what_would_be_lost_is_refused_and_changes_nothing
    circular = []
    circular << circular
    @kv["k"] = "before"
    [2**63, -2**63 - 1, 2**64 + 1, 2**200, [2**63], [Float::NAN], { "a" => Float::INFINITY }, circular,
     "\xff", ["\xff"], ["\xff".b], { "a" => 1, a: 2 }].each do |bad|
      assert_raises(ShmKV::BadValue, bad.class) { @kv["k"] = bad }
      assert_equal "before", @kv["k"]
    end
    [Object.new, 1r, [Object.new], { 5 => 1 }].each do |bad|
      assert_raises(TypeError, bad.class) { @kv["k"] = bad }
    end
  end

  # proves [VAL-07]
  def test_what_others_could_not_read_is_refused
    nested = []
    511.times { nested = [nested] }
    @kv["k"] = nested
    assert_equal nested, @kv["k"]
    error = assert_raises(ShmKV::BadValue) { @kv["k"] = { "one more" => nested } }
    assert_match(/more than 512/, error.message)
    assert_equal nested, @kv["k"]
    100_000.times { nested = [nested] }
    assert_raises(ShmKV::BadValue) { @kv["k"] = nested }
  end

  def test_symbols_and_other_encodings_are_text
    @kv["s"] = :name
    @kv["w"] = "caf\u00e9".encode("UTF-16LE")
    @kv["h"] = { key: :value }
    assert_equal "name", @kv["s"]
    assert_equal "caf\u00e9", @kv["w"]
    assert_equal({ "key" => "value" }, @kv["h"])
  end

  # proves [VAL-05]
  def test_text_and_json_that_are_none_raise_badtype_and_give_their_bytes
    { "abcd" => "ab\xffd".b, [1234] => "[12,4 ".b, ["abc"] => "[\"a\xffc\"]".b }.each do |value, forged|
      @kv["k"] = value
      forge(@kv.get_bytes("k"), forged)
      [-> { @kv["k"] }, -> { @kv.get_all }, -> { @kv.values }].each do |read|
        error = assert_raises(ShmKV::BadType, &read)
        assert_match(/get_bytes/, error.message)
      end
      assert_equal forged, @kv.get_bytes("k")
      assert_equal ["k"], @kv.keys
    end
  end

  # What a peer may do who writes to the segment: other bytes in place of the value's.
  def forge(old, new)
    File.open("/dev/shm/#{@kv.name}", "r+b") do |file|
      at = file.read.rindex("k".b + "\0".b * 7 + old)
      file.seek(at + 8)
      file.write(new)
    end
  end

  def test_get_bytes_gives_the_bytes_of_any_type
    @kv["n"] = 3
    @kv["j"] = { "a" => [1, 2] }
    assert_equal [3].pack("q<"), @kv.get_bytes("n")
    assert_equal '{"a":[1,2]}'.b, @kv.get_bytes("j")
    assert_nil @kv.get_bytes("none")
  end
end

class TestConditions < SegmentTest
  def setup
    super
    @kv = open
  end

  def test_add_and_replace
    assert_equal false, @kv.replace("k", 1)
    assert_equal true, @kv.add("k", 2)
    assert_equal false, @kv.add("k", 3)
    assert_equal true, @kv.replace("k", 4)
    assert_equal 4, @kv["k"]
  end

  def test_swap_and_take
    large = "x" * 100_000
    assert_nil @kv.swap("k", large)
    assert_equal large, @kv.swap("k", [1])
    assert_equal [1], @kv.take("k")
    assert_nil @kv.take("k")
  end

  def test_cas_by_version_and_by_value
    assert_equal true, @kv.cas("k", 0, "first")
    assert_equal false, @kv.cas("k", 0, "second")
    version = @kv.get_item("k")[:version]
    assert_equal true, @kv.cas("k", version, "second")
    assert_equal false, @kv.cas("k", version, "third")
    assert_equal false, @kv.cas_value("k", "second".b, "third"), "of another type"
    assert_equal true, @kv.cas_value("k", "second", "third")
    assert_equal false, @kv.delete_value("k", "second")
    assert_equal true, @kv.delete_value("k", "third")
    assert_equal false, @kv.delete_if("k", version), "there is none"
  end

  def test_modify_runs_again_when_another_came_between
    @kv["n"] = 1
    seen = []
    sum = @kv.modify("n") do |value|
      seen << value
      @kv["n"] = 10 if seen.size == 1
      value + 1
    end
    assert_equal 11, sum
    assert_equal [1, 10], seen
    assert_raises(ZeroDivisionError) { @kv.modify("n") { |value| value / 0 } }
    assert_equal 11, @kv["n"]
  end

  def test_modify_gives_another_end_when_asked
    @kv.set("n", 1, ttl: 1000)
    first = @kv.get_item("n")[:expires_ns]
    @kv.modify("n") { |value| value + 1 }
    assert_equal first, @kv.get_item("n")[:expires_ns]
    @kv.modify("n", ttl: 2000, bound: true) { |value| value + 1 }
    assert_operator @kv.get_item("n")[:expires_ns], :>, first
    assert @kv.get_item("n")[:bound]
    @kv.modify("n", ttl: Float::INFINITY) { |value| value + 1 }
    assert_nil @kv.get_item("n")[:expires_ns]
    refute @kv.get_item("n")[:bound]
  end

  def test_time_to_live
    @kv.set("short", 1, ttl: 0)
    @kv.set("long", 2, ttl: 1000)
    assert_nil @kv["short"]
    assert_equal 2, @kv["long"]
    [-1, Float::NAN].each { |bad| assert_raises(ShmKV::BadArgument) { @kv.set("k", 1, ttl: bad) } }
    ["5", [], 1i].each { |bad| assert_raises(TypeError) { @kv.set("k", 1, ttl: bad) } }
  end

  def test_default_time_to_live
    kv = open(default_ttl: 1000)
    assert_equal 1000 * 10**9, kv.info[:default_ttl_ns]
    kv["default"] = 1
    kv.set("ever", 2, ttl: Float::INFINITY)
    kv.set("own", 3, ttl: 5000)
    assert_nil kv.get_item("ever")[:expires_ns]
    { "default" => 1000, "own" => 5000 }.each do |key, seconds|
      assert_in_delta Time.now.to_f + seconds, kv.get_item(key)[:expires_ns] / 1e9, 300
    end
    [-1, Float::NAN, 1e300].each { |bad| assert_raises(ShmKV::BadArgument) { open(default_ttl: bad) } }
  end

  def test_a_cache_bounds_its_entries
    kv = open(max_entries: 100)
    300.times { |i| kv["k#{i}"] = i }
    assert_equal 100, kv.size
    assert_equal 100, kv.info[:max_entries]
    assert_equal 1, kv.info[:evicts]
    assert_equal 200, kv.stats[:evictions]
    assert_equal 0, @kv.info[:evicts]
  end

  def test_a_cache_bounds_its_bytes
    kv = open(max_bytes: 1 << 20)
    300.times { |i| kv["k#{i}"] = "x" * 10_000 }
    assert_operator kv.stats[:entry_bytes], :<=, 1 << 20
    assert_operator kv.size, :>, 80
    assert_raises(ShmKV::BadValue) { kv["large"] = "x" * (2 << 20) }
  end

  def test_a_full_cache_evicts
    kv = open(max_size: 1 << 20, evict: true)
    2000.times { |i| kv["k#{i}"] = "x" * 1000 }
    assert_operator kv.stats[:evictions], :>, 1000
    assert_equal "x" * 1000, kv["k1999"]
  end

  def test_bound_goes_with_the_store
    other = ShmKV.open(@kv.name)
    other.set("mine", 1, bound: true)
    assert @kv.get_item("mine")[:bound]
    other.close
    assert_nil @kv["mine"]
  end
end

class TestCounters < SegmentTest
  def setup
    super
    @kv = open
  end

  def test_incr_and_decr
    assert_equal 1, @kv.incr("n")
    assert_equal 42, @kv.incr("n", 41)
    assert_equal 40, @kv.decr("n", 2)
    assert_equal 11, @kv.incr("from ten", initial: 10)
    assert_equal 0.5, @kv.incr("f", 0.5)
    assert_equal 0.25, @kv.decr("f", 0.25)
  end

  def test_at_least_and_at_most
    assert_equal 5, @kv.at_least("n", 5)
    assert_equal 5, @kv.at_least("n", 3)
    assert_equal 4, @kv.at_most("n", 4)
  end

  def test_what_does_not_fit_changes_nothing
    @kv["n"] = 2**63 - 1
    assert_raises(ShmKV::Overflow) { @kv.incr("n") }
    assert_raises(ShmKV::BadType) { @kv.incr("n", 1.0) }
    ["1", nil, true].each { |bad| assert_raises(TypeError) { @kv.incr("n", bad) } }
    [2**64, -2**64].each { |bad| assert_raises(ShmKV::BadValue) { @kv.incr("n", bad) } }
    assert_equal 2**63 - 1, @kv["n"]
  end

  def test_append
    assert_equal 3, @kv.append("t", "caf")
    assert_equal 5, @kv.append("t", "\u00e9")
    assert_equal "caf\u00e9", @kv["t"]
    assert_equal 1, @kv.append("b", "\xff".b)
    assert_equal "\xff".b, @kv["b"]
    assert_raises(ShmKV::BadValue) { @kv.append("t", "\xff".b) }
    assert_raises(TypeError) { @kv.append("t", 5) }
    @kv["n"] = 1
    assert_raises(ShmKV::BadType) { @kv.append("n", "1") }
  end

  def test_get_or_set
    large = "x" * 100_000
    assert_equal large, @kv.get_or_set("k", large)
    assert_equal large, @kv.get_or_set("k", "other")
    assert_nil @kv.get_or_set("nil", nil)
    assert_nil @kv.get_or_set("nil", 5)
    assert_equal 1, @kv.get_or_set("e", 1, ttl: 1000)
    refute_nil @kv.get_item("e")[:expires_ns]
  end
end

class TestEmptying < SegmentTest
  def setup
    super
    @kv = open
  end

  def test_touch_and_sweep
    assert_equal false, @kv.touch("k", 5)
    @kv["k"] = "v"
    assert_equal true, @kv.touch("k", 1000)
    refute_nil @kv.get_item("k")[:expires_ns]
    assert_equal true, @kv.touch("k")
    assert_nil @kv.get_item("k")[:expires_ns]
    @kv.touch("k", 0)
    assert_nil @kv["k"]
    assert_equal 1, @kv.sweep
    assert_equal 0, @kv.sweep(5)
  end

  def test_pop_and_clear
    pairs = { "a" => 1, "b" * 65_536 => "x" * 1_000_000 }
    pairs.each { |key, value| @kv[key] = value }
    assert_equal pairs, [@kv.pop, @kv.shift].to_h
    assert_nil @kv.pop
    pairs.each { |key, value| @kv[key] = value }
    assert_equal 2, @kv.clear
    assert_empty @kv
  end
end
