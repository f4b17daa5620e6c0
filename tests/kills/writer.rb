# frozen_string_literal: true

# A writer that kill_writers.c kills. The log's layout is there.

require "shmkv"

KEYS = 600
name, log_path, writer, seed = ARGV[0], ARGV[1], Integer(ARGV[2]), Integer(ARGV[3])
kv = ShmKV.open(name)
log = File.open(log_path, "r+b")
base = writer * (32 + 32 * KEYS)
draw = Random.new(seed)

def length_of(value)
  return 40_000 if value % 1000 == 1
  value % 50 == 1 ? 125 + value % 4875 : 2 + value % 37
end

def make(value) = [value].pack("Q<") * length_of(value)

def state_of(value)
  return 0 if value.nil?
  found = value.unpack1("Q<")
  abort "a value is torn" if value != make(found)
  found
end

calls, deletes, large = log.pread(24, base).unpack("Q<3")
loop do
  number = draw.rand(KEYS)
  key, at = [writer, number].pack("V2"), base + 32 + 32 * number
  before, after, acknowledged = log.pread(24, at).unpack("Q<3")
  if acknowledged.zero?
    now = state_of(kv[key])
    abort "a key is neither old nor new" unless [before, after].include?(now)
    after = now
    log.pwrite([now, now].pack("Q<2"), at)
  end
  value = draw.rand(4).zero? ? 0 : draw.rand(2**64) | 1
  log.pwrite([after, value, 0].pack("Q<3"), at)
  value.zero? ? kv.delete(key) : kv[key] = make(value)
  log.pwrite([1].pack("Q<"), at + 16)
  calls += 1
  deletes += 1 if value.zero?
  large += 1 if value.positive? && length_of(value) >= 125
  log.pwrite([calls, deletes, large].pack("Q<3"), base)
end
