# frozen_string_literal: true

# Values that no type holds, through a codec of the application. Spec 10.3.

require_relative "helper"
require "set"

class TestCodec < SegmentTest
  # Takes Rationals, and tells what it was asked.
  class Strict
    attr_reader :asked

    def initialize
      @asked = []
    end

    def dump(value)
      @asked << value
      raise ZeroDivisionError, "no Rational" unless value.is_a?(Rational)

      value.to_s
    end

    def load(string)
      Rational(string)
    end
  end

  def test_what_no_type_holds_goes_through_it
    kv = open(codec: Marshal)
    [1r / 3, 2**64, Set[1], { 1 => 2 }, { "b" => "\xff".b }, [2**70], "\xff", 1i].each do |value|
      kv["k"] = value
      assert_equal "coded", kv.get_item("k")[:type], value.inspect
      assert_equal value, kv["k"]
      assert_equal({ "k" => value }, kv.get_all)
      assert_equal [value], kv.values
      assert_equal({ "k" => value }, kv.get_many(["k"]))
      assert_equal value, kv.swap("k", 1)
      assert_equal true, kv.replace("k", value)
      assert_equal true, kv.cas_value("k", value, value)
      assert_equal value, kv.take("k")
    end
  end

  def test_what_a_type_holds_does_not
    codec = Strict.new
    kv = open(codec: codec)
    ["b".b, "t", 1, 1.5, true, nil, [1], { "a" => [nil] }].each do |value|
      kv["k"] = value
      value.nil? ? assert_nil(kv["k"]) : assert_equal(value, kv["k"])
    end
    assert_empty codec.asked
  end

  # proves [VAL-06]
  def test_nothing_is_decoded_without_it
    kv = open(codec: Marshal)
    kv["k"] = 1r
    ShmKV.open(kv.name) do |plain|
      assert_equal Marshal.dump(1r), plain["k"]
      assert_raises(TypeError) { plain["k"] = 1r }
      plain["bytes"] = Marshal.dump(1r)
    end
    assert_equal Marshal.dump(1r), kv["bytes"], "bytes stay bytes"
    assert_equal Marshal.dump(1r), kv.get_bytes("k")
  end

  def test_what_the_codec_raises_comes_out_and_nothing_changes
    kv = open(codec: Strict.new)
    kv["k"] = 1r
    assert_raises(ZeroDivisionError) { kv["k"] = Set[1] }
    assert_raises(ZeroDivisionError) { kv["k"] = 2**64 }
    assert_equal 1r, kv["k"]
    other = ShmKV.open(kv.name, codec: Marshal)
    assert_raises(TypeError) { other["k"] }
    assert_raises(TypeError) { other.get_all }
    assert_raises(TypeError) { other.values }
    assert_empty other.verify
    other.close
  end

  def test_it_lives_as_long_as_the_store
    kv = open(codec: Strict.new)
    GC.start
    GC.compact if GC.respond_to?(:compact)
    1000.times { |i| kv["k"] = Rational(i, 3) }
    GC.start
    assert_equal 333r, kv["k"]
  end

  def test_a_bad_codec_is_refused
    assert_raises(TypeError) { ShmKV.open(segment, codec: Object.new) }
  end
end
