# frozen_string_literal: true

# Ruby code, other threads and the collector in the middle of a call, which change what it works on.

require_relative "helper"
require "tmpdir"

class TestReentry < SegmentTest
  # Runs a block when it is read as a String or as a number.
  class Running < Numeric
    def initialize(&block)
      super
      @block = block
    end

    def to_str
      @block.call
      +"value"
    end

    def to_f
      @block.call
      5.0
    end
  end

  # Runs a block when it is asked.
  class RunningCodec
    def initialize(&block)
      @block = block
    end

    def dump(_value)
      @block.call
      "value"
    end

    def load(string)
      string
    end
  end

  # So that memory that was freed has something else in it.
  def reuse
    GC.start
    @strings = (1..2000).map { |n| "Q" * (n % 200) }
  end

  def test_a_key_that_reading_the_value_changes
    key = nil
    change = -> { key.replace("z" * 300_000) && reuse }
    kv = open
    coded = open(codec: RunningCodec.new(&change))
    object = Running.new(&change)
    [1, 100].each do |length|
      { "put" => [kv, -> { kv.put(key, object) }],
        "append" => [kv, -> { kv.append(key, object) }],
        "set" => [kv, -> { kv.set(key, object, ttl: 50) }],
        "set, ttl" => [kv, -> { kv.set(key, "value", ttl: object) }],
        "put_many" => [kv, -> { kv.put_many([[key, object]]) }],
        "transaction" => [kv, -> { kv.transaction("k" * length) { |txn| txn.put(key, object) } }],
        "codec" => [coded, -> { coded.put(key, Object.new) }],
        "codec, broken String" => [coded, -> { coded.put(key, "\xff") }],
        "codec, Bignum" => [coded, -> { coded.put(key, 2**70) }] }.each do |name, (store, put)|
        key = "k" * length
        put.call
        assert_equal ["k" * length], store.keys, name
        assert_equal "value", store.get_bytes("k" * length), name
        store.clear
      end
    end
  end

  def test_a_value_that_reading_another_argument_changes
    kv = open
    [1, 100].each do |length|
      value = nil
      object = Running.new { value.replace("z" * 300_000) && reuse }
      { "set" => -> { kv.set("k", value, ttl: object) },
        "swap" => -> { kv.swap("k", value, ttl: object) },
        "put_many" => -> { kv.put_many({ "k" => value }, ttl: object) },
        "put_many, later value" => -> { kv.put_many([["k", value], ["other", object]]) } }.each do |name, put|
        value = +"v" * length
        put.call
        assert_equal "v" * length, kv.take("k"), name
        value = +"v" * length
        kv.put("k", value)
        assert_equal true, kv.cas_value("k", value, object), name
        kv.clear
      end
    end
  end

  # Something whose String is its own.
  class Owner
    attr_reader :string

    def initialize(string)
      @string = string
    end

    alias to_str string
  end

  def test_a_string_of_an_object_that_a_later_value_changes
    kv = open
    owner = Owner.new("a" * 100)
    kv.put_many([["a", owner], ["b", Running.new { owner.string.replace("z" * 300_000) && reuse }]])
    assert_equal "a" * 100, kv["a"]
  end

  def test_a_key_that_another_thread_changes_while_this_one_waits
    kv = open
    key = "k" * 100
    waiting = Thread.new { kv.wait(key, version: 0, timeout: 60) }
    Thread.pass until waiting.status == "sleep"
    key.replace("z" * 300_000)
    reuse
    kv.put("k" * 100, 1)
    assert_equal true, waiting.value
  end

  def test_a_path_that_another_thread_changes
    kv = open
    kv.put("k", 1)
    Dir.mktmpdir do |folder|
      fifo = "#{folder}/#{'f' * 100}"
      File.mkfifo(fifo)
      path = fifo.dup
      dumping = Thread.new { kv.dump(path) }
      Thread.pass until dumping.status == "sleep"
      path.replace("z" * 300_000)
      reuse
      File.open(fifo, "rb", &:read)
      assert_equal 1, dumping.value
    end
  end

  def test_a_cursor_keeps_the_codec
    name = open.name
    walks = nil
    # In a thread, whose stack is gone when it has ended.
    Thread.new do
      walks = Array.new(50) do
        kv = ShmKV.open(name, codec: Class.new { def dump(_) = "coded"
                                                 def load(string) = [string] }.new)
        kv.put("k", Object.new)
        kv.cursor
      end
    end.join
    3.times { reuse }
    walks.each { |walk| assert_equal ["k", ["coded"]], walk.next }
    walks.each(&:close)
  end

  # What moves what it can.
  def compact
    GC.respond_to?(:verify_compaction_references) ? GC.verify_compaction_references(double_heap: true, toward: :empty) : GC.start
  rescue NotImplementedError, ArgumentError
    GC.start
  end

  def test_a_collection_that_compacts
    names = (1..40).map { |n| "k#{n}" } # so short that their bytes are in the object
    coded = open(codec: RunningCodec.new { compact })
    kv = open
    coded.put_many(names.map { |name| [name.dup, name.dup] } + [["last", Object.new]])
    assert_equal names.to_h { |name| [name, name] }, coded.get_all.reject { |key| key == "last" }
    kv.transaction(*names.map(&:dup)) do |txn|
      compact
      names.each { |name| txn[name] = name }
      compact
    end
    assert_equal names.to_h { |name| [name, name] }, kv.get_all
    running = RunningList.new(names.map(&:dup)) { compact }
    assert_equal 40, kv.get_many(running).size
    assert_equal 40, kv.delete_many(running)
  end

  # An Array that runs a block for its last element.
  class RunningList
    def initialize(list, &block)
      @list = list << Running.new(&block)
    end

    def to_ary
      @list
    end
  end

  class Flat < Hash
    def flatten(*)
      nil
    end
  end

  def test_a_hash_that_flattens_in_its_own_way
    kv = open
    kv.put_many(Flat["k", 1])
    assert_equal({ "k" => 1 }, kv.to_h)
    assert_raises(TypeError) { kv.send(:put_many_in_c, nil, nil, 0) }
  end
end
