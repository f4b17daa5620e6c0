# frozen_string_literal: true

# Freeze and sync, dump and load, and many keys at once.

require_relative "helper"
require "pathname"
require "tmpdir"

class TestTransfer < SegmentTest
  ENTRIES = { "bytes" => "\0\xff".b, "text" => "caf\u00e9", "int" => -1, "float" => 1.5, "nil" => nil,
              "json" => { "a" => [1, true] } }.freeze

  def setup
    super
    @kv = open
    ENTRIES.each { |key, value| @kv[key] = value }
    @folder = Dir.mktmpdir
    @path = File.join(@folder, "dump")
  end

  def teardown
    super
    FileUtils.remove_entry(@folder)
  end

  def loaded(file)
    kv = open
    assert_equal ENTRIES.size, kv.load(file)
    kv.get_all
  end

  def test_a_path_of_each_kind
    [@path, Pathname(@path)].each do |path|
      assert_equal ENTRIES.size, @kv.dump(path)
      assert_equal ENTRIES, loaded(path)
    end
    assert_equal 0o600, File.stat(@path).mode & 0o777
    assert_equal ["dump"], Dir.children(@folder)
  end

  def test_a_dump_that_fails_leaves_the_older_file
    @kv.dump(@path)
    victim = open(stay: true)
    ShmKV.open(victim.name, mode: :exclusive).close
    assert_raises(ShmKV::Stale) { victim.dump(@path) }
    assert_equal ENTRIES, loaded(@path)
    assert_equal ["dump"], Dir.children(@folder)
  end

  def test_files_that_cannot_be_opened_are_named
    missing = File.join(@folder, "none", "dump")
    %i[dump load].each do |name|
      error = assert_raises(ShmKV::SystemFailure) { @kv.public_send(name, missing) }
      assert_equal Errno::ENOENT::Errno, error.errno
      assert_includes error.message, missing
      assert_raises(ShmKV::BadArgument) { @kv.public_send(name, "nul\0byte") }
      assert_raises(TypeError) { @kv.public_send(name, nil) }
      assert_raises(TypeError) { @kv.public_send(name, Object.new) }
    end
  end

  def test_open_files_before_and_behind_other_bytes
    File.open(@path, "w+b") do |file|
      file.write("before")
      @kv.dump(file)
      @kv.dump(file.fileno, snapshot: true)
      file.write("behind")
    end
    File.open(@path, "rb") do |file|
      assert_equal "before", file.read(6)
      assert_equal ENTRIES, loaded(file)
      assert_equal ENTRIES, loaded(file)
      assert_equal "behind", file.read
    end
  end

  def test_a_pipe_while_other_threads_run
    @kv["large"] = Random.bytes(1_000_000)
    other = open
    IO.pipe do |read, write|
      thread = Thread.new { @kv.dump(write) }
      assert_equal ENTRIES.size + 1, other.load(read)
      assert_equal ENTRIES.size + 1, thread.value
    end
    assert_equal @kv.get_all, other.get_all
  end

  def test_options_of_load
    @kv.dump(@path)
    kv = open
    kv["int"] = "own"
    kv["more"] = 1
    assert_equal ENTRIES.size - 1, kv.load(@path, keep: true)
    assert_equal ENTRIES.merge("int" => "own", "more" => 1), kv.get_all
    assert_equal ENTRIES.size, kv.load(@path)
    assert_equal ENTRIES.merge("more" => 1), kv.get_all
    assert_equal ENTRIES.size, kv.load(@path, replace: true)
    assert_equal ENTRIES, kv.get_all
    assert_raises(ShmKV::BadArgument) { kv.load(@path, keep: true, replace: true) }
    File.truncate(@path, File.size(@path) - 1)
    kv["mine"] = 1
    assert_raises(ShmKV::BadDump) { kv.load(@path, replace: true) }
    assert_equal 1, kv["mine"]
  end

  def test_frozen
    @kv.freeze
    @kv["k"] = "an object's own freeze does nothing to the segment"
    @kv.delete("k")
    assert_equal 0, @kv.info[:frozen]
    assert_equal true, @kv.freeze_segment
    assert_equal 1, @kv.info[:frozen]
    assert_raises(ShmKV::Frozen) { @kv["k"] = 1 }
    assert_raises(ShmKV::Frozen) { @kv.delete("int") }
    assert_equal ENTRIES, ShmKV.open(@kv.name, &:get_all)
  end

  def test_sync
    assert_equal true, @kv.sync
    ShmKV.open(@path) do |kv|
      kv["k"] = 1
      assert_equal true, kv.sync
    end
  end

  def test_after_close
    @kv.close
    [-> { @kv.freeze_segment }, -> { @kv.sync }, -> { @kv.dump(@path) }, -> { @kv.load(1) },
     -> { @kv.get_many([]) }].each { |call| assert_raises(ShmKV::Closed, &call) }
    refute_path_exists @path
  end
end

class TestMany < SegmentTest
  def setup
    super
    @kv = open
  end

  def test_those_found_by_the_keys_as_given
    @kv["caf\u00e9"] = 1
    @kv["nil"] = nil
    found = @kv.get_many(["caf\u00e9", "nil", "absent"])
    assert_equal({ "caf\u00e9" => 1, "nil" => nil }, found)
    assert_equal Encoding::UTF_8, found.keys.first.encoding
    assert_equal({}, @kv.get_many([]))
    assert_equal({ "nil".b => nil }, @kv.get_many(@kv.keys.grep("nil".b)))
  end

  def test_more_than_fit_at_once
    expected = Array.new(3000) { |i| ["key #{i}", i.to_s * (i % 7 * 50)] }.to_h
    expected["large"] = Random.bytes(1_000_000)
    expected["larger"] = Random.bytes(2_000_000)
    expected.each { |key, value| @kv[key] = value }
    assert_equal expected, @kv.get_many(expected.keys << "absent")
  end

  def test_bad_keys
    assert_raises(ShmKV::BadKey) { @kv.get_many(["k", ""]) }
    assert_raises(TypeError) { @kv.get_many(["k", 5]) }
    assert_raises(TypeError) { @kv.get_many("k") }
  end
end
