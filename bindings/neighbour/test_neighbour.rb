# frozen_string_literal: true

# A module of somebody else, made by SWIG as ours is, with the same names of types: each makes its own objects.

require "minitest"
require "securerandom"
require "shmkv"
require "neighbour" # behind ours: the one that is loaded last is who would get ours

class TestNeighbour < Minitest::Test
  def test_each_has_its_own_objects
    name = "shmkv-test-rb-#{SecureRandom.hex(8)}"
    ShmKV.open(name) do |kv|
      kv["k"] = 1
      assert_instance_of ShmKV::Cursor, kv.cursor
      assert_equal [["k", 1]], kv.each.to_a
      assert_equal 2, kv.transaction("k") { |txn| txn["k"] + 1 }
    end
    other = Neighbour::Cursor.new
    other.number = 7
    assert_equal 7, other.number
  ensure
    ShmKV.unlink(name)
  end
end
