# frozen_string_literal: true

# Several keys that change together or not at all.

require_relative "helper"

class TestTransaction < SegmentTest
  def setup
    super
    @kv = open(lock_timeout_ms: 100)
  end

  # What the block of a transaction does is undone, whatever it is left by.
  def changes_nothing
    before = @kv.get_all
    yield
    assert_equal before, @kv.get_all
    in_child { @kv["free"] = 1 } # nothing is left locked
    @kv.delete("free")
    assert_empty @kv.verify
  end

  def test_changes_are_made_together
    @kv["a"] = 100
    @kv["gone"] = "x"
    result = @kv.transaction("a", "b", "gone") do |txn|
      assert_instance_of ShmKV::Transaction, txn
      txn["a"] -= 10
      txn["b"] = { "list" => [1, "\u00e9"] }
      assert_equal true, txn.delete("gone")
      next :done
    end
    assert_equal :done, result
    assert_equal({ "a".b => 90, "b".b => { "list" => [1, "\u00e9"] } }, @kv.get_all)
    assert_equal 90, @kv.transaction(%w[a b]) { |txn| txn.get("a") }
  end

  def test_it_sees_what_it_did
    @kv["a"] = 1
    @kv.transaction("a", "b") do |txn|
      assert_equal [1, nil], [txn["a"], txn["b"]]
      assert txn.key?("a") && !txn.exists("b") && !txn.exists?("b")
      assert_equal false, txn.delete("b")
      txn.put("b", nil)
      assert txn.key?("b")
      txn.set("b", "text", ttl: 60)
      assert_equal ["text", Encoding::UTF_8], [txn["b"], txn["b"].encoding]
    end
    assert_operator @kv.get_item("b")[:expires_ns], :>, 0
  end

  def test_it_runs_again_if_a_key_has_changed
    seen = []
    result = @kv.transaction("a", "b") do |txn|
      seen << txn["a"]
      in_child { @kv["a"] = 50 } if seen.size == 1 # no lock is held
      txn["b"] = [txn["a"]]
    end
    assert_equal [nil, 50], seen
    assert_equal [[50], [50]], [@kv["b"], result]
  end

  def test_every_way_out_changes_nothing
    @kv["a"] = 1
    error = Class.new(Exception).new
    changes_nothing { assert_same error, assert_raises(error.class) { @kv.transaction("a", "b") { |t| t["a"] = t["b"] = 2; raise error } } }
    changes_nothing { assert_equal :broken, (@kv.transaction("a", "b") { |t| t["a"] = t["b"] = 2; break :broken }) }
    changes_nothing { assert_equal :thrown, (catch(:it) { @kv.transaction("a", "b") { |t| t["a"] = t["b"] = 2; throw :it, :thrown } }) }
    changes_nothing { assert_equal :returned, returns_from_the_block }
    changes_nothing do
      thread = Thread.new { @kv.transaction("a") { |t| t["a"] = 2; Thread.current.kill } }
      assert_same thread, thread.join(60)
    end
    changes_nothing { assert_raises(TypeError) { @kv.transaction("a") { |t| t["a"] = Object.new } } }
    changes_nothing { assert_raises(ShmKV::BadValue) { @kv.transaction("a") { |t| t["a"] = 2**64 } } }
  end

  def returns_from_the_block
    @kv.transaction("a", "b") { |t| t["a"] = t["b"] = 2; return :returned }
    :not_returned
  end

  def test_a_key_that_keeps_changing
    calls = 0
    assert_raises(ShmKV::Busy) do
      @kv.transaction("a", "b") { |txn| @kv["a"] = calls += 1; txn["b"] = 1 }
    end
    assert_operator calls, :>, 1
    assert_equal({ "a".b => calls }, @kv.get_all)
  end

  def test_the_store_itself_may_be_used
    @kv.transaction("a") do |txn|
      txn["a"] = @kv.transaction("b") { |inner| inner["b"] = 1; 5 }
      @kv["c"] = 1
    end
    assert_equal({ "a".b => 5, "b".b => 1, "c".b => 1 }, @kv.get_all)
  end

  def test_only_declared_keys_and_only_while_it_runs
    kept = nil
    @kv.transaction("a") do |txn|
      kept = txn
      [-> { txn["b"] }, -> { txn["b"] = 1 }, -> { txn.key?("b") }, -> { txn.delete("b") }].each do |use|
        assert_match(/not given to the transaction/, assert_raises(ShmKV::BadArgument, &use).message)
      end
    end
    [-> { kept["a"] }, -> { kept["a"] = 1 }, -> { kept.key?("a") }, -> { kept.delete("a") }].each do |use|
      assert_match(/not running/, assert_raises(ShmKV::BadArgument, &use).message)
    end
    assert_raises(TypeError) { ShmKV::Transaction.new }
  end

  def test_closed_by_its_block
    other = ShmKV.open(@kv.name)
    2.times { assert_raises(ShmKV::Closed) { @kv.transaction("a") { |txn| txn["a"] = 1; @kv.close } } }
    assert_empty other.get_all
    other.close
  end

  def test_what_is_no_transaction
    [[], %w[a a], (1..1025).map(&:to_s)].each do |keys|
      assert_raises(ShmKV::BadArgument) { @kv.transaction(*keys) { nil } }
    end
    assert_raises(ShmKV::BadKey) { @kv.transaction("a", "") { nil } }
    assert_raises(TypeError) { @kv.transaction(5) { nil } }
    assert_raises(LocalJumpError) { @kv.transaction("a") }
    reading = ShmKV.open(@kv.name, mode: :readonly)
    assert_raises(ShmKV::ReadOnly) { reading.transaction("a") { |txn| txn["a"] = 1 } }
    reading.close
  end

  def test_codec
    kv = open(codec: Marshal)
    assert_equal 1..2, kv.transaction("a") { |txn| txn["a"] = 1..2; txn["a"] }
    assert_equal 1..2, kv["a"]
    GC.stress = true
    kv.transaction("a", "b") { |txn| txn["b"] = [txn["a"].to_s] }
    GC.stress = false
    assert_equal ["1..2"], kv["b"]
  ensure
    GC.stress = false
  end

  def test_threads
    kv = open
    kv["a"] = 1000
    kv["b"] = 0
    move = ->(txn) { txn["a"] -= 1; txn["b"] += 1 }
    Array.new(4) { Thread.new { 100.times { kv.transaction("a", "b", &move) } } }.each(&:join)
    assert_equal [600, 400], [kv["a"], kv["b"]]
  end
end
