# frozen_string_literal: true

# The store from Ruby: single keys, bytes, everything at once, life and death.

require_relative "helper"
require "tmpdir"

class TestSingleKeys < SegmentTest
  def test_put_get_exists_delete_get_size
    kv = open
    assert_nil kv.get("k")
    refute kv.exists("k")
    assert_equal true, kv.put("k", "one")
    assert_equal "one", kv.get("k")
    assert kv.exists("k")
    kv.put("k", "two")
    assert_equal "two", kv.get("k")
    assert_equal 1, kv.get_size
    assert_equal true, kv.delete("k")
    assert_equal false, kv.delete("k")
    assert_nil kv.get("k")
    assert_equal 0, kv.get_size
  end

  def test_cannot_be_copied
    kv = open
    assert_raises(TypeError) { kv.dup }
    assert_raises(TypeError) { kv.clone }
  end

  def test_as_a_hash
    kv = open
    assert_nil kv["k"]
    assert_equal "v", (kv["k"] = "v")
    assert_equal "v", kv["k"]
    kv.store("l", "w")
    [:key?, :has_key?, :include?, :member?, :exists?].each do |method|
      assert kv.public_send(method, "k"), method
      refute kv.public_send(method, "x"), method
    end
    assert_equal 2, kv.size
    assert_equal 2, kv.length
    assert_equal 2, kv.count
    refute_empty kv
    assert_empty open
  end

  def test_fetch
    kv = open
    kv["k"] = "v"
    assert_equal "v", kv.fetch("k")
    assert_equal "v", kv.fetch("k", "other")
    assert_equal "other", kv.fetch("x", "other")
    assert_nil kv.fetch("x", nil)
    assert_equal "x!", kv.fetch("x") { |key| "#{key}!" }
    error = assert_raises(KeyError) { kv.fetch("x") }
    assert_equal "x", error.key
    assert_same kv, error.receiver
    assert_raises(ArgumentError) { kv.fetch("x", 1, 2) }
    _, warned = capture_io { assert_equal 2, kv.fetch("x", 1) { 2 } }
    assert_match(/\A#{__FILE__}:#{__LINE__ - 1}: warning: block supersedes default value argument\n\z/, warned)
    assert_silent { kv.fetch("x", 1) && kv.fetch("x") { 1 } }
  end

  def test_values_at_and_fetch_values
    kv = open
    kv.update({ "a" => 1, "b" => nil, "c" => "three" })
    assert_equal ["three", nil, nil, 1, 1], kv.values_at("c", "x", "b", "a", "a")
    assert_equal [], kv.values_at
    assert_equal ["three", nil, 1, 1], kv.fetch_values("c", "b", "a", "a")
    assert_equal [1, "x!"], kv.fetch_values("a", "x") { |key| "#{key}!" }
    assert_equal [], kv.fetch_values
    error = assert_raises(KeyError) { kv.fetch_values("a", "x") }
    assert_equal ["x", kv], [error.key, error.receiver]
    assert_includes error.message, kv.name
  end

  def test_dig
    kv = open
    kv["user"] = { "name" => "Ada", "langs" => ["C", { "v" => 11 }] }
    assert_equal "Ada", kv.dig("user", "name")
    assert_equal 11, kv.dig("user", "langs", 1, "v")
    assert_equal kv["user"], kv.dig("user")
    assert_nil kv.dig("user", "age", "years")
    assert_nil kv.dig("none", "name")
    kv["text"] = "x"
    assert_raises(TypeError) { kv.dig("text", 0) } # as a Hash's dig
    assert_raises(ArgumentError) { kv.dig }
  end

  def test_delete_with_a_block
    kv = open
    kv["k"] = 1
    assert_equal(true, kv.delete("k") { flunk })
    assert_equal("k!", kv.delete("k") { |key| "#{key}!" })
    assert_equal false, kv.delete("k")
    assert_raises(ZeroDivisionError) { kv.delete("k") { 1 / 0 } }
    assert_equal 5, kv.delete("k") { break 5 }
    kv["k"] = 2
    assert_equal true, kv.delete("k")
  end

  def test_a_store_is_not_copied
    kv = open
    [-> { kv.dup }, -> { kv.clone }, -> { kv.clone(freeze: true) }, -> { Marshal.dump(kv) }, -> { Marshal.dump([kv]) }].each do |copy|
      error = assert_raises(TypeError, &copy)
      assert_match(/\Acan't (copy|dump) ShmKV::Store: open the segment again/, error.message)
    end
    [-> { kv.cursor.dup }, -> { Marshal.dump(kv.cursor) }].each { |copy| assert_raises(TypeError, &copy) }
    error = assert_raises(ShmKV::BadKey) { kv[""] }
    again = Marshal.load(Marshal.dump(error))
    assert_equal [error.class, error.detail, error.code, error.name], [again.class, again.detail, again.code, again.name]
  end

  def test_frozen_objects
    kv = open
    value = "value".b.freeze
    kv["key"] = value
    assert_equal "value", kv["key"]
    refute_same value, kv["key"]
    refute_predicate kv["key"], :frozen?, "it is the caller's own"
    kv["list"] = ["a".freeze, { "b" => 1 }.freeze].freeze
    assert_equal ["a", { "b" => 1 }], kv["list"]
    kv.freeze
    kv["later"] = 1 # its own freeze is about the object
    assert_equal 1, kv["later"]
  end
end

class TestBytes < SegmentTest
  BYTES = {
    "NUL inside" => "a\0b",
    "only NUL" => "\0",
    "trailing NUL" => "a\0",
    "invalid UTF-8" => "\xff\xfe\x80".b,
    "all bytes" => (0..255).map(&:chr).join.b,
    "newlines" => "\r\n\n",
    "just the stack" => "y" * 4096,
    "stack and a byte" => "x" * 4097
  }.freeze

  def test_bytes_come_back_as_they_went
    kv = open
    BYTES.each do |name, data|
      kv["key #{name} ".b + data.b] = data
      assert_equal data.b, kv["key #{name} ".b + data.b], name
    end
    assert_equal BYTES.to_h { |name, data| ["key #{name} ".b + data.b, data.b] }, kv.get_all
  end

  def test_empty_value_is_not_nil
    kv = open
    kv["empty"] = ""
    assert_equal "", kv["empty"]
    assert kv.key?("empty")
  end

  def test_long_keys_and_values
    kv = open
    value = Random.bytes(3_000_000)
    kv["large"] = value
    assert_equal value, kv["large"]
    kv["k" * 65_536] = "long key"
    assert_equal "long key", kv["k" * 65_536]
  end

  def test_encoding_is_not_part_of_a_key
    kv = open
    kv["caf\u00e9"] = "\u263a"
    assert_equal "\u263a", kv["caf\u00e9".b]
    assert_equal "\u263a", kv["caf\u00e9".dup.force_encoding("ISO-8859-1")]
    assert_nil kv["caf\u00e9".encode("ISO-8859-1")], "other bytes, another key"
  end

  def test_keys_and_bytes_come_back_binary_and_text_as_utf8
    kv = open
    kv["k"] = "v"
    kv["b"] = "v".b
    assert_equal [Encoding::BINARY], kv.keys.map(&:encoding).uniq
    assert_equal Encoding::UTF_8, kv["k"].encoding
    assert_equal Encoding::BINARY, kv["b"].encoding
    refute kv["k"].frozen?
  end

  def test_strings_of_all_kinds
    kv = open
    to_str = Class.new { def to_str = "converted" }
    kv[to_str.new] = Class.new(String).new("subclass")
    assert_equal "subclass", kv["converted"]
    whole = "a long string that others share " * 10
    kv[whole[5, 20]] = whole[10..]
    assert_equal whole[10..], kv[whole[5, 20]]
    kv["frozen"] = "frozen"
    assert_equal "frozen", kv["frozen"]
  end

  def test_under_garbage_collection
    kv = open
    begin
      GC.stress = true
      5.times do |i|
        kv["key #{i}" * 5] = "value #{i}" * 600
        assert_equal "value #{i}" * 600, kv["key #{i}" * 5]
      end
      assert_equal 5, kv.get_all.size
      assert_equal 5, kv.to_a.size
      assert_raises(ShmKV::BadKey) { kv[""] }
      kv.info
      kv.locks.size
    ensure
      GC.stress = false
    end
  end
end

class TestSegments < SegmentTest
  def test_segment_outlives_the_object
    name = segment
    ShmKV.open(name) { |kv| kv["k"] = "v" }
    ShmKV.open(name) do |kv|
      assert_equal "v", kv["k"]
      assert_empty kv.verify
    end
    ShmKV.open(name)["dropped"] = "without close"
    GC.start
    ShmKV.open(name, mode: :readonly) { |kv| assert_equal "without close", kv["dropped"] }
  end

  def test_modes
    name = segment
    assert_raises(ShmKV::NoSegment) { ShmKV.open(name, mode: :existing) }
    assert_raises(ShmKV::NoSegment) { ShmKV.open(name, mode: :readonly) }
    kv = ShmKV.open(name, mode: :shared)
    kv["k"] = "v"
    assert_equal "v", ShmKV.open(name, mode: :existing)["k"]
    reader = ShmKV.open(name, mode: :readonly)
    assert_equal "v", reader["k"]
    assert_equal({ "k" => "v" }, reader.get_all)
    assert_raises(ShmKV::ReadOnly) { reader["k"] = "w" }
    assert_raises(ShmKV::ReadOnly) { reader.delete("k") }
    assert_equal "v", kv["k"]
    fresh = ShmKV.open(name, mode: :exclusive)
    assert_empty fresh
    assert_nil kv["k"], "an attached store moves along"
    kv["new"] = "one"
    assert_equal "one", fresh["new"]
  end

  def test_stay
    kv = open(stay: true)
    kv["k"] = "v"
    ShmKV.open(kv.name, mode: :exclusive).close
    assert_raises(ShmKV::Stale) { kv["k"] }
  end

  def test_open_with_a_block
    store = nil
    result = ShmKV.open(segment) do |kv|
      store = kv
      kv["k"] = "v"
      :result
    end
    assert_equal :result, result
    assert_predicate store, :closed?
    assert_raises(ZeroDivisionError) do
      ShmKV.open(segment) do |kv|
        store = kv
        1 / 0
      end
    end
    assert_predicate store, :closed?
    assert ShmKV.open(segment, &:close), "closing it oneself is fine"
  end

  def test_unlink
    name = segment
    kv = ShmKV.open(name)
    kv["k"] = "v"
    kv.unlink
    assert_equal "v", kv["k"], "an attached store keeps the segment"
    assert_raises(ShmKV::NoSegment) { ShmKV.unlink(name) }
    ShmKV.open(name)["k"] = "other"
    assert_equal "v", kv["k"]
    ShmKV.unlink(name)
  end

  def test_a_path_is_a_file
    Dir.mktmpdir do |folder|
      path = File.join(folder, "store")
      ShmKV.open(path) { |kv| kv["k"] = "v" }
      assert File.file?(path)
      assert_equal "v", ShmKV.open(path, mode: :readonly)["k"]
      ShmKV.unlink(path)
      refute File.exist?(path)
    end
  end

  def test_facts
    kv = open(permissions: 0o640, owner_slots: 16, lock_timeout_ms: 1000, max_size: 1 << 24)
    10.times { |i| kv["k#{i}"] = "v" }
    info = kv.info
    assert_equal 1, info[:revision]
    assert_equal 0o640, info[:permissions]
    assert_equal 65_536, info[:max_key]
    assert_equal 2**32 - 1, info[:max_value]
    assert_match(/\A\h{8}(-\h{4}){3}-\h{12}\z/, info[:uuid])
    assert_equal 10, kv.stats[:entries]
    assert_includes kv.locks.map { |lock| lock[:kind] }, "shard"
    assert_includes kv.owners.map { |owner| [owner[:pid], owner[:liveness]] }, [Process.pid, "alive"]
    assert_empty kv.verify
    assert_includes kv.inspect, kv.name
    assert_match(/\A\d+\.\d+\.\d+\z/, ShmKV.version)
  end
end

class TestLife < SegmentTest
  USES = {
    "[]" => ->(kv) { kv["k"] }, "[]=" => ->(kv) { kv["k"] = "v" }, "get" => ->(kv) { kv.get("k") },
    "put" => ->(kv) { kv.put("k", "v") }, "delete" => ->(kv) { kv.delete("k") }, "key?" => ->(kv) { kv.key?("k") },
    "fetch" => ->(kv) { kv.fetch("k", 1) }, "size" => ->(kv) { kv.size }, "get_all" => ->(kv) { kv.get_all },
    "to_h" => ->(kv) { kv.to_h }, "keys" => ->(kv) { kv.keys }, "values" => ->(kv) { kv.values },
    "each" => ->(kv) { kv.each {} }, "map" => ->(kv) { kv.map { 1 } }, "empty?" => ->(kv) { kv.empty? },
    "info" => ->(kv) { kv.info }, "stats" => ->(kv) { kv.stats }, "verify" => ->(kv) { kv.verify },
    "locks" => ->(kv) { kv.locks }, "owners" => ->(kv) { kv.owners }
  }.freeze

  def test_use_after_close
    kv = open
    refute_predicate kv, :closed?
    kv.close
    kv.close
    assert_predicate kv, :closed?
    assert_includes kv.inspect, "closed"
    USES.each { |name, use| assert_raises(ShmKV::Closed, name) { use.call(kv) } }
  end

  def test_use_before_open
    USES.each { |name, use| assert_raises(ShmKV::Closed, name) { use.call(ShmKV::Store.allocate) } }
    assert_raises(NoMethodError) { ShmKV::Store.new("x") }
  end

  def test_closed_by_another_thread
    10.times do
      kv = open
      2000.times { |i| kv["key #{i}"] = "v" * 100 }
      readers = Array.new(3) do
        Thread.new do
          loop { raise "wrong" unless kv.get_all.size == 2000 && kv.verify.empty? }
        rescue ShmKV::Closed
          :closed
        end
      end
      kv.get_all
      kv.close
      assert_equal [:closed] * 3, readers.map(&:value)
    end
  end

  def test_threads_share_a_store
    kv = open
    threads = Array.new(4) do |worker|
      Thread.new { 1000.times { |i| kv["#{worker}/#{i}"] = i.to_s } }
    end
    threads.each(&:join)
    assert_equal 4000, kv.size
    assert_empty kv.verify
  end

  def test_a_killed_thread_does_no_harm
    kv = open
    5000.times { |i| kv["key #{i}"] = "v" * 100 }
    20.times do
      thread = Thread.new { loop { kv.get_all } }
      sleep 0.002
      thread.kill.join
    end
    kv["k"] = "v"
    assert_equal 5001, kv.get_all.size
  end

  def test_many_keys
    kv = open
    n = 20_000
    n.times { |i| kv["key #{i}"] = "value #{i}" }
    assert_equal n, kv.size
    assert(n.times.all? { |i| kv["key #{i}"] == "value #{i}" })
    0.step(n - 1, 2) { |i| kv.delete("key #{i}") }
    assert_equal n / 2, kv.size
    assert_equal 1.step(n, 2).to_h { |i| ["key #{i}", "value #{i}"] }, kv.get_all
    assert_empty kv.verify
  end
end
