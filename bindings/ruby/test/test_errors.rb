# frozen_string_literal: true

# Bad input: one class per code, and nothing changed.

require_relative "helper"

class TestErrors < SegmentTest
  def setup
    @kv = open
    @kv["k"] = "v"
  end

  def teardown
    assert_equal({ "k" => "v" }, @kv.get_all, "nothing has changed")
  ensure
    super
  end

  def uses(key)
    {
      "[]" => -> { @kv[key] }, "[]=" => -> { @kv[key] = "x" }, "get" => -> { @kv.get(key) },
      "put" => -> { @kv.put(key, "x") }, "delete" => -> { @kv.delete(key) }, "exists" => -> { @kv.exists(key) },
      "key?" => -> { @kv.key?(key) }, "fetch" => -> { @kv.fetch(key, 1) }
    }
  end

  def test_bad_keys
    ["", "k" * 65_537, "\u00e9" * 32_769].each do |key|
      uses(key).each { |name, use| assert_raises(ShmKV::BadKey, name, &use) }
    end
  end

  def test_wrong_types
    [nil, 5, 1.5, :symbol, ["k"], {}, Object.new, @kv].each do |wrong|
      uses(wrong).each { |name, use| assert_raises(TypeError, name, &use) }
    end
    [Object.new, @kv, [Object.new], { 5 => "five" }, 1r, 1i].each do |wrong|
      assert_raises(TypeError) { @kv["never"] = wrong }
      assert_raises(TypeError) { @kv.put("never", wrong) }
      refute @kv.key?("never")
    end
  end

  def test_wrong_number_of_arguments
    [-> { @kv.get }, -> { @kv.get("k", "l") }, -> { @kv.put("k") }, -> { @kv.put("k", "v", "w") },
     -> { @kv.delete }, -> { @kv.get_size(1) }, -> { @kv.fetch }].each do |call|
      assert_raises(ArgumentError, &call)
    end
  end

  def test_bad_names
    ["", "n" * 255, "a/b", "a\0b"].each do |name|
      [:shared, :exclusive, :existing, :readonly].each do |mode|
        assert_raises(ShmKV::BadName, "#{name.inspect} #{mode}") { ShmKV.open(name, mode: mode) }
      end
      assert_raises(ShmKV::BadName) { ShmKV.unlink(name) }
    end
    [nil, 5, :name].each do |name|
      say = "a segment name must be a String, not #{name.class}"
      assert_equal say, assert_raises(TypeError) { ShmKV.open(name) }.message
      assert_equal say, assert_raises(TypeError) { ShmKV.unlink(name) }.message
    end
  end

  def test_bad_options
    assert_raises(ShmKV::BadArgument) { ShmKV.open(@kv.name, mode: :sideways) }
    [:reserve, :lock_timeout_ms, :permissions, :owner_slots, :max_size, :max_entries, :max_bytes].each do |option|
      [-1, 2**64, 2**70].each { |value| refused_option(ShmKV::BadArgument, option, value) }
      ["5", 1.5, nil].each { |value| refused_option(TypeError, option, value) }
    end
    [nil, "shared", 0].each { |mode| refused_option(TypeError, :mode, mode) }
    [-1, Float::NAN, -Float::INFINITY].each { |ttl| refused_option(ShmKV::BadArgument, :default_ttl, ttl) }
    assert_raises(ShmKV::BadArgument) { ShmKV.open(@kv.name, default_ttl: 2**80) }
    ["5", [], 1i, Object.new].each { |ttl| refused_option(TypeError, :default_ttl, ttl) }
    assert_raises(ArgumentError) { ShmKV.open(@kv.name, colour: "red") }
  end

  def refused_option(error, option, value)
    raised = assert_raises(error, "#{option} #{value.inspect}") { ShmKV.open(@kv.name, option => value) }
    assert_match(/\A#{@kv.name}: (bad argument: )?#{option} (is|must be) .* not /, raised.message)
  end

  def test_missing_keys
    error = assert_raises(KeyError) { @kv.fetch("none") }
    assert_instance_of ShmKV::MissingKey, error
    assert_equal "none", error.key
    assert_same @kv, error.receiver
    assert_equal "#{@kv.name}: key not found: \"none\"", error.message
    assert_includes error.backtrace.first, "shmkv.rb"
  end

  def test_the_message_of_a_missing_key_does_not_walk_the_store
    asked = 0
    @kv.define_singleton_method(:keys) { |**| (asked += 1) && super() }
    message = assert_raises(KeyError) { @kv.fetch("kk") }.message
    assert_equal "#{@kv.name}: key not found: \"kk\"", message
    assert_equal 0, asked
  end

  def test_what_is_not_ours_is_left_alone
    name = segment
    path = "/dev/shm/#{name}"
    File.binwrite(path, "somebody else" * 1000)
    [:shared, :exclusive, :existing, :readonly].each do |mode|
      assert_raises(ShmKV::Foreign, mode.to_s) { ShmKV.open(name, mode: mode) }
    end
    assert_raises(ShmKV::Foreign) { ShmKV.unlink(name) }
    assert_equal "somebody else" * 1000, File.binread(path)
  ensure
    File.unlink(path)
  end

  def test_error_attributes
    error = assert_raises(ShmKV::BadKey) { @kv[""] = "v" }
    assert_kind_of ShmKV::Error, error
    assert_kind_of StandardError, error
    assert_equal(-11, error.code)
    assert_equal "SHMKV_EKEY", error.name
    assert_match(/bad key/, error.detail)
    assert_equal error.detail, error.message
    assert_includes error.backtrace.first, __FILE__
  end

  def test_system_failure
    error = assert_raises(ShmKV::SystemFailure) { ShmKV.open("/nowhere/at/all") }
    assert_equal Errno::ENOENT::Errno, error.errno
    assert_equal error.errno, error.code
    assert_nil error.name
    rescued = begin
      ShmKV.open("/nowhere/at/all")
    rescue Errno::EACCES
      :wrong
    rescue Errno::ENOENT
      :right
    end
    assert_equal :right, rescued
  end

  def test_one_class_per_code
    classes = ShmKV.constants.map { |name| ShmKV.const_get(name) }
    classes = classes.select { |c| c.is_a?(Class) && c < ShmKV::Error }
    assert_operator classes.size, :>=, 22
    assert_includes classes, ShmKV::NoSpace
  end
end
