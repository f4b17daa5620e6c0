# frozen_string_literal: true

# Bad input to every method: an error of the class that one expects, which names the segment and the key,
# and nothing has changed, nothing is locked.

require_relative "helper"

class TestBadInput < SegmentTest
  # With a key.
  KEYED = {
    "[]" => ->(kv, key) { kv[key] }, "get" => ->(kv, key) { kv.get(key) }, "fetch" => ->(kv, key) { kv.fetch(key, 1) },
    "get_item" => ->(kv, key) { kv.get_item(key) }, "get_bytes" => ->(kv, key) { kv.get_bytes(key) },
    "get_many" => ->(kv, key) { kv.get_many(["before", key]) }, "exists" => ->(kv, key) { kv.exists(key) },
    "exists?" => ->(kv, key) { kv.exists?(key) }, "key?" => ->(kv, key) { kv.key?(key) },
    "has_key?" => ->(kv, key) { kv.has_key?(key) }, "include?" => ->(kv, key) { kv.include?(key) },
    "member?" => ->(kv, key) { kv.member?(key) }, "delete" => ->(kv, key) { kv.delete(key) },
    "delete_many" => ->(kv, key) { kv.delete_many(["before", key]) }, "delete_if" => ->(kv, key) { kv.delete_if(key, 1) },
    "take" => ->(kv, key) { kv.take(key) }, "touch" => ->(kv, key) { kv.touch(key, 5) },
    "wait" => ->(kv, key) { kv.wait(key, timeout: 0) }, "wait, version" => ->(kv, key) { kv.wait(key, version: 1, timeout: 0) },
    "transaction" => ->(kv, key) { kv.transaction("before", key) { nil } },
    "lock" => ->(kv, key) { kv.lock(key, timeout: 1) { nil } }, "values_at" => ->(kv, key) { kv.values_at("before", key) },
    "fetch_values" => ->(kv, key) { kv.fetch_values("before", key) { nil } }, "dig" => ->(kv, key) { kv.dig(key) },
    "dig, inside" => ->(kv, key) { kv.dig(key, "x") }, "delete, block" => ->(kv, key) { kv.delete(key) { flunk } }
  }.freeze

  # With a key and a value.
  VALUED = {
    "[]=" => ->(kv, key, value) { kv[key] = value }, "put" => ->(kv, key, value) { kv.put(key, value) },
    "store" => ->(kv, key, value) { kv.store(key, value) }, "set" => ->(kv, key, value) { kv.set(key, value) },
    "add" => ->(kv, key, value) { kv.add(key, value) }, "replace" => ->(kv, key, value) { kv.replace(key, value) },
    "swap" => ->(kv, key, value) { kv.swap(key, value) }, "cas" => ->(kv, key, value) { kv.cas(key, 0, value) },
    "cas_value, expected" => ->(kv, key, value) { kv.cas_value(key, value, 1) },
    "cas_value" => ->(kv, key, value) { kv.cas_value(key, 1, value) },
    "delete_value" => ->(kv, key, value) { kv.delete_value(key, value) },
    "get_or_set" => ->(kv, key, value) { kv.get_or_set(key, value) }, "append" => ->(kv, key, value) { kv.append(key, value) },
    "incr" => ->(kv, key, value) { kv.incr(key, value) }, "incr, initial" => ->(kv, key, value) { kv.incr(key, 1, initial: value) },
    "decr" => ->(kv, key, value) { kv.decr(key, value) }, "at_least" => ->(kv, key, value) { kv.at_least(key, value) },
    "at_most" => ->(kv, key, value) { kv.at_most(key, value) }, "modify" => ->(kv, key, value) { kv.modify(key) { value } },
    "get_or_compute" => ->(kv, key, value) { kv.get_or_compute(key) { value } },
    "put_many" => ->(kv, key, value) { kv.put_many([["new", 1], [key, value]]) },
    "update" => ->(kv, key, value) { kv.update({ "new" => 1 }.compare_by_identity.merge({ key => value })) },
    "merge!" => ->(kv, key, value) { kv.merge!({ key => value }) }
  }.freeze
  NUMERIC = ["incr", "incr, initial", "decr", "at_least", "at_most"].freeze

  IN_TRANSACTION = {
    "get" => ->(txn, key, _) { txn.get(key) }, "[]" => ->(txn, key, _) { txn[key] }, "exists" => ->(txn, key, _) { txn.exists(key) },
    "exists?" => ->(txn, key, _) { txn.exists?(key) }, "key?" => ->(txn, key, _) { txn.key?(key) },
    "delete" => ->(txn, key, _) { txn.delete(key) }, "put" => ->(txn, key, value) { txn.put(key, value) },
    "[]=" => ->(txn, key, value) { txn[key] = value }, "set" => ->(txn, key, value) { txn.set(key, value, ttl: 5) }
  }.freeze

  ENDING = {
    "set" => ->(kv, **o) { kv.set("k", 1, **o) }, "add" => ->(kv, **o) { kv.add("k", 1, **o) },
    "replace" => ->(kv, **o) { kv.replace("n", 1, **o) }, "swap" => ->(kv, **o) { kv.swap("k", 1, **o) },
    "cas" => ->(kv, **o) { kv.cas("k", 0, 1, **o) }, "cas_value" => ->(kv, **o) { kv.cas_value("n", 7, 1, **o) },
    "get_or_set" => ->(kv, **o) { kv.get_or_set("k", 1, **o) }, "modify" => ->(kv, **o) { kv.modify("k", **o) { 1 } },
    "get_or_compute" => ->(kv, **o) { kv.get_or_compute("k", **o) { 1 } }, "put_many" => ->(kv, **o) { kv.put_many({ "k" => 1 }, **o) },
    "transaction, set" => ->(kv, **o) { kv.transaction("k") { |txn| txn.set("k", 1, **o) } }
  }.freeze

  WAITING = {
    "wait" => ->(kv, **o) { kv.wait("n", **o) }, "watch" => ->(kv, **o) { kv.watch(**o) },
    "lock" => ->(kv, **o) { kv.lock("n", **o) { nil } }, "get_or_compute" => ->(kv, **o) { kv.get_or_compute("k", **o) { 1 } }
  }.freeze

  # Without key or value; the first ones write.
  WRITES = {
    "clear" => :clear.to_proc, "sweep" => :sweep.to_proc, "pop" => :pop.to_proc, "shift" => :shift.to_proc,
    "load" => ->(kv) { kv.load(File::NULL) }
  }.freeze
  READS = {
    "get_size" => :get_size.to_proc, "size" => :size.to_proc, "length" => :length.to_proc, "count" => :count.to_proc,
    "empty?" => :empty?.to_proc, "get_all" => :get_all.to_proc, "to_h" => :to_h.to_proc, "keys" => :keys.to_proc,
    "values" => :values.to_proc, "each" => ->(kv) { kv.each { nil } }, "each_pair" => ->(kv) { kv.each_pair { nil } },
    "each_key" => ->(kv) { kv.each_key { nil } }, "each_value" => ->(kv) { kv.each_value { nil } }, "cursor" => :cursor.to_proc,
    "watch" => ->(kv) { kv.watch(timeout: 0) }, "info" => :info.to_proc, "stats" => :stats.to_proc, "verify" => :verify.to_proc,
    "key" => ->(kv) { kv.key(1) }, "value?" => ->(kv) { kv.value?(1) }, "has_value?" => ->(kv) { kv.has_value?(1) },
    "select" => ->(kv) { kv.select { true } }, "filter" => ->(kv) { kv.filter { true } }, "reject" => ->(kv) { kv.reject { true } },
    "locks" => :locks.to_proc, "owners" => :owners.to_proc, "dump" => ->(kv) { kv.dump(File::NULL) }, "sync" => :sync.to_proc
  }.freeze
  ELSEWHERE = %w[close closed? name unlink freeze_segment inspect to_s].freeze
  WRITING_BY_KEY = %w[delete delete_if take touch lock].freeze

  def setup
    @kv = open
    @kv.update({ "before" => "bytes".b, "t" => "text", "n" => 7, "f" => 1.5, "big" => 2**63 - 1 })
    @was = items_of(@kv)
  end

  def teardown
    unchanged(@kv, @was)
  ensure
    super
  end

  def items_of(kv) = kv.keys.to_h { |key| [key, kv.get_item(key)] }

  # The same values in the same versions, nothing locked, and another process can write.
  def unchanged(kv, was)
    assert_equal was, items_of(kv)
    assert_empty(kv.locks.select { |lock| lock[:owner] })
    assert_empty kv.verify
    return if kv.info[:frozen] && kv.info[:frozen] != 0

    name = kv.name
    pid = fork do
      status = 1
      other = ShmKV.open(name, lock_timeout_ms: 100)
      200.times do |i| # in each part of the store
        other["by another #{i}"] = 1
        other.delete("by another #{i}")
      end
      other.lock("n", timeout: 1) { other.lock("k", timeout: 1) { status = 0 } }
    ensure
      exit!(status)
    end
    Process.wait(pid)
    assert_predicate $?, :success?, "another process can write"
  end

  def refused(what, error, call, *arguments, key: nil, say: "", **options)
    shown = arguments.map { |a| a.is_a?(Array) ? "an Array" : a.inspect[0, 40] }
    raised = assert_raises(error, "#{what} #{shown} #{options}") { call.call(@kv, *arguments, **options) }
    [@kv.name, say, key && "(key \"#{key}"].compact.each { |part| assert_includes raised.message, part, what }
    assert_equal raised.message, raised.detail if raised.is_a?(ShmKV::Error)
    raised
  end

  def test_the_tables_have_every_method
    listed = [KEYED, VALUED, WRITES, READS].flat_map(&:keys).map { |name| name.split(",").first }.uniq
    assert_equal ShmKV::Store.public_instance_methods(false).map(&:to_s).sort - ELSEWHERE.sort, listed.sort
    assert_equal ShmKV::Transaction.public_instance_methods(false).map(&:to_s).sort, IN_TRANSACTION.keys.sort
  end

  def test_keys_of_wrong_length
    [["", ""], ["k" * 70_000, "kkk"], ["\u00e9" * 35_000, "\\xc3\\xa9"]].each do |key, shown|
      KEYED.each { |name, call| refused(name, ShmKV::BadKey, call, key, key: shown, say: "bytes") }
      VALUED.each do |name, call|
        refused(name, ShmKV::BadKey, call, key, name == "append" ? "1" : 1, key: shown)
      end
    end
  end

  def test_keys_of_wrong_types
    [nil, 5, 1.5, :symbol, ["k"], Object.new].each do |key|
      KEYED.each do |name, call|
        next if name == "transaction" && key.is_a?(Array) # of keys

        refused(name, TypeError, call, key, say: "a key must be a String, not #{key.class}")
      end
      VALUED.each { |name, call| refused(name, TypeError, call, key, 1, say: "a key must be a String") }
    end
  end

  def test_values
    circular = []
    circular << circular
    nested = []
    512.times { nested = [nested] }
    deep = nested
    100_000.times { deep = [deep] }
    [[2**70, "64 bits"], [-2**63 - 1, "64 bits"], ["\xff", "valid UTF-8"], [["\xff"], "valid text"], [[Float::NAN], "NaN"],
     [[2**70], "64 bits"], [["\xff".b], "valid text"], [circular, "itself"], [nested, "512"], [deep, "512"],
     [{ "a" => 1, a: 2 }, "twice"]].each { |value, say| refused_value(ShmKV::BadValue, value, say) }
    [[Object.new, "not Object"], [1..2, "not Range"], [1r, "not Rational"], [[Object.new], "hold a Object"],
     [{ 1 => 2 }, "String or Symbol keys"]].each { |value, say| refused_value(TypeError, value, say) }
    refused_value(Encoding::UndefinedConversionError, (+"\x81").force_encoding("Windows-1252"), "UTF-8")
  end

  def refused_value(error, value, say)
    VALUED.each { |name, call| refused(name, error, call, "the key", value, key: "the key", say: say) }
    %w[put []= set].each do |name|
      refused(name, error, ->(kv) { kv.transaction("k") { |txn| IN_TRANSACTION[name].call(txn, "k", value) } }, key: "k", say: say)
    end
  end

  def test_values_that_do_not_fit_the_method
    [5, nil, [1]].each { |value| refused("append", TypeError, VALUED["append"], "t", value, key: "t", say: "only") }
    NUMERIC.each do |name|
      call = VALUED[name]
      ["1", nil, true, [1]].each { |value| refused(name, TypeError, call, "n", value, key: "n", say: "counter") }
      [Float::NAN, Float::INFINITY].each { |value| refused(name, ShmKV::BadArgument, call, "f", value, key: "f", say: "finite") }
      refused(name, ShmKV::BadType, call, "t", 1, key: "t", say: "it is text")
      refused(name, ShmKV::BadType, call, "n", 1.5, key: "n", say: "it is an integer")
    end
    refused("append", ShmKV::BadType, VALUED["append"], "n", "x", key: "n")
    refused("append", ShmKV::BadValue, VALUED["append"], "t", "\xff".b, key: "t")
    refused("incr", ShmKV::Overflow, VALUED["incr"], "big", 1, key: "big")
    refused("decr", ShmKV::Overflow, VALUED["decr"], "n", -2**63, key: "n")
  end

  def test_keys_that_a_transaction_was_not_given
    IN_TRANSACTION.each do |name, call|
      change = lambda do |kv|
        kv.transaction("n", "new") do |txn|
          txn.put("n", 0)
          call.call(txn, "other", 1)
        end
      end
      refused(name, ShmKV::BadArgument, change, key: "other", say: "not given")
    end
    [[], %w[n n], (1..1025).map(&:to_s)].each do |keys|
      refused("keys", ShmKV::BadArgument, ->(kv) { kv.transaction(keys) { nil } })
    end
  end

  def test_many
    ["nf", 5, nil, { "n" => 1 }].each do |keys|
      refused("get_many", TypeError, ->(kv) { kv.get_many(keys) }, say: "keys are an Array")
      refused("delete_many", TypeError, ->(kv) { kv.delete_many(keys) }, say: "keys are an Array")
    end
    [5, nil].each { |pairs| refused("put_many", TypeError, ->(kv) { kv.put_many(pairs) }, say: "pairs") }
    [[5], [["k", 1], ["k", 2, 3]]].each { |pairs| refused("put_many", ArgumentError, ->(kv) { kv.put_many(pairs) }, say: "pairs") }
  end

  def test_times_to_live
    ENDING.each do |name, call|
      key = name == "put_many" ? nil : %w[replace cas_value].include?(name) ? "n" : "k"
      [-1, -Float::INFINITY, Float::NAN].each { |ttl| refused(name, ShmKV::BadArgument, call, key: key, say: "ttl", ttl: ttl) }
      refused(name, ShmKV::BadArgument, call, key: key, ttl: 1e30)
      ["5", [], Object.new, 1i].each { |ttl| refused(name, TypeError, call, key: key, say: "ttl", ttl: ttl) }
      error = assert_raises(ArgumentError, name) { call.call(@kv, colour: "red") }
      assert_match(/unknown keyword: :colour/, error.message)
    end
    refused("touch", ShmKV::BadArgument, ->(kv) { kv.touch("n", -1) }, key: "n", say: "ttl")
    refused("touch", TypeError, ->(kv) { kv.touch("n", "5") }, key: "n", say: "ttl")
  end

  def test_timeouts
    WAITING.each do |name, call|
      [-1, -Float::INFINITY, Float::NAN].each { |t| refused(name, ShmKV::BadArgument, call, say: "timeout", timeout: t) }
      ["5", [], Object.new].each { |t| refused(name, TypeError, call, say: "timeout", timeout: t) }
    end
  end

  def test_versions_and_counts
    { ->(kv, n) { kv.cas("n", n, 1) } => "n", ->(kv, n) { kv.delete_if("n", n) } => "n",
      ->(kv, n) { kv.wait("n", version: n, timeout: 0) } => "n", ->(kv, n) { kv.watch(n, timeout: 0) } => nil,
      ->(kv, n) { kv.sweep(n) } => nil }.each do |call, key|
      [-1, 2**64, 2**70].each { |n| refused("number", ShmKV::BadArgument, call, n, key: key, say: n.to_s) }
      ["1", 1.5, [], false].each { |n| refused("number", TypeError, call, n, key: key, say: "must be an Integer, not #{n.class}") }
    end
  end

  def test_positions_prefixes_and_files
    [->(kv, x) { kv.cursor(prefix: x) }, ->(kv, x) { kv.keys(prefix: x) }, ->(kv, x) { kv.each(prefix: x) { nil } },
     ->(kv, x) { kv.values(prefix: x) }, ->(kv, x) { kv.cursor(position: x) }].each do |call|
      [5, [], Object.new].each { |wrong| refused("walk", TypeError, call, wrong, say: "prefix or position") }
    end
    refused("prefix", ShmKV::BadKey, ->(kv) { kv.cursor(prefix: "x" * 70_000) })
    ["", "x", "\0" * 32].each { |at| refused("position", ShmKV::BadArgument, ->(kv) { kv.cursor(position: at) }, say: "position") }
    refused("load", ShmKV::BadArgument, ->(kv) { kv.load(File::NULL, keep: true, replace: true) })
  end

  def test_files
    [->(kv, file) { kv.load(file) }, ->(kv, file) { kv.dump(file) }].each do |call|
      [-1, 2**31, 2**70, -2**70].each do |file|
        refused("file", ShmKV::BadArgument, call, file, say: "descriptor of a file is an integer from 0 to 2147483647, not #{file}")
      end
      [nil, 1.5, [], :path, Object.new].each { |file| refused("file", TypeError, call, file, say: "a path must be a String, not #{file.class}") }
      refused("file", ShmKV::BadArgument, call, "a\0b", say: "bad path: it contains a NUL byte")
      refused("file", ShmKV::SystemFailure, call, "/nowhere/at/all", say: "'/nowhere/at/all")
      refused("file", ShmKV::SystemFailure, call, 999_999, say: "a dump")
    end
  end

  def test_numbers_of_arguments_and_blocks
    kv = @kv
    [-> { kv.get }, -> { kv.get("k", 1) }, -> { kv.put("k") }, -> { kv.put("k", 1, ttl: 5) }, -> { kv.delete }, -> { kv.set("k") },
     -> { kv.incr }, -> { kv.fetch }, -> { kv.fetch("k", 1, 2) }, -> { kv.clear(1) }].each { |call| assert_raises(ArgumentError, &call) }
    [-> { kv.modify("n") }, -> { kv.get_or_compute("k") }, -> { kv.get_or_compute("n") }, -> { kv.lock("n") },
     -> { kv.transaction("n") }].each { |call| assert_raises(LocalJumpError, &call) }
    assert_raises(KeyError) { kv.fetch("none") }
    error = assert_raises(ArgumentError) { kv.put("k", 1, ttl: 5) }
    assert_equal "wrong number of arguments (given 3, expected 2); set takes ttl: and bound:", error.message
    assert_equal "wrong number of arguments (given 0, expected 1)", assert_raises(ArgumentError) { kv.get }.message
  end

  def test_closed
    @kv.close
    KEYED.each { |name, call| refused(name, ShmKV::Closed, call, "n") }
    VALUED.each { |name, call| refused(name, ShmKV::Closed, call, "n", name == "append" ? "1" : 1) }
    WRITES.merge(READS).each { |name, call| refused(name, ShmKV::Closed, call) }
    refused("freeze_segment", ShmKV::Closed, :freeze_segment.to_proc)
    @kv = ShmKV.open(@kv.name)
  end

  def refused_to_write(error)
    WRITING_BY_KEY.each { |name| refused(name, error, KEYED[name], "n", key: "n") }
    %w[delete_many transaction].each { |name| refused(name, error, KEYED[name], "n") }
    VALUED.each do |name, call|
      next refused(name, error, call, "n", 1) if %w[put_many update merge!].include?(name)

      key = if name == "append" then "t"
            else %w[add get_or_set get_or_compute modify].include?(name) ? "k" : "n"
            end
      refused(name, error, call, key, name == "append" ? "x" : 7, key: key)
    end
    WRITES.each { |name, call| refused(name, error, call) }
    READS.each_value { |call| call.call(@kv) }
  end

  def test_read_only
    writable = @kv
    @kv = ShmKV.open(@kv.name, mode: :readonly)
    refused_to_write(ShmKV::ReadOnly)
    refused("freeze_segment", ShmKV::ReadOnly, :freeze_segment.to_proc)
    @kv.close
    @kv = writable
  end

  def test_frozen
    @kv.freeze_segment
    refused_to_write(ShmKV::Frozen)
  end

  def test_full
    plain = @kv
    @kv = open(max_size: 1 << 20)
    @kv.update({ "n" => 7, "t" => "text" })
    was = items_of(@kv)
    large = "x" * (2 << 20)
    (VALUED.keys - NUMERIC - ["put_many", "update", "merge!", "delete_value", "cas_value, expected", "cas_value"]).each do |name|
      key = %w[append replace].include?(name) ? "t" : "k"
      refused(name, ShmKV::NoSpace, VALUED[name], key, large, key: key)
    end
    refused("cas_value", ShmKV::NoSpace, ->(kv) { kv.cas_value("n", 7, large) }, key: "n")
    assert_equal 0, refused("put_many", ShmKV::NoSpace, ->(kv) { kv.put_many({ "k" => large }) }, key: "k").done
    both = lambda do |kv|
      kv.transaction("k", "n") do |txn|
        txn["n"] = 1
        txn["k"] = large
      end
    end
    refused("transaction", ShmKV::NoSpace, both)
    unchanged(@kv, was)
    @kv = plain
  end

  def leavings(&leave)
    [-> { @kv.modify("n", &leave) }, -> { @kv.get_or_compute("k", &leave) }, -> { @kv.lock("n", &leave) },
     -> { @kv.fetch("k", &leave) },
     lambda do
       @kv.transaction("n", "t") do |txn|
         txn["n"] = 8
         txn.delete("t")
         leave.call
       end
     end]
  end

  def test_blocks_that_are_left
    leavings { raise "gone" }.each { |call| assert_equal "gone", assert_raises(RuntimeError, &call).message }
    leavings { throw :out, 5 }.each { |call| assert_equal 5, catch(:out) { call.call } }
    leavings { raise Interrupt }.each { |call| assert_raises(Interrupt, &call) }
    assert_equal 5, @kv.modify("n") { break 5 }
    assert_equal 5, @kv.lock("n") { break 5 }
    assert_equal 5, @kv.get_or_compute("k") { break 5 }
    assert_raises(RuntimeError) { @kv.put_many(Enumerator.new { |to| to << ["k", 1] and raise "gone" }) }
    assert_raises(RuntimeError) { @kv.each { raise "gone" } }
  end
end
