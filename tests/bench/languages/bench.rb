# frozen_string_literal: true

# shmkv in Ruby next to what else Ruby has: get and overwrite, the same loop for each store, in turns, in one
# process. Prints JSON as the driver in C does; README.md tells what the numbers mean.
#
#     bench.rb [--quick] [--check]

require "json"
require "tmpdir"
require "shmkv"

COUNT = 5000
ROUNDS, SLICE = if ARGV.include?("--check") then [2, 0.001]
                elsif ARGV.include?("--quick") then [5, 0.05]
                else [15, 0.2]
                end

# All are used by [] and []=. The Cabinets' files belong to one writing process at a time, so they share less
# than the others; they are the nearest that Debian has.
Kind = Struct.new(:name, :package, :open)
KINDS = [
  Kind.new("Hash", nil, ->(_folder) { {} }),
  Kind.new("shmkv", nil, ->(folder) { ShmKV.open("#{folder}/shmkv") }),
  Kind.new("Kyoto Cabinet", "ruby-kyotocabinet", lambda do |folder|
    require "kyotocabinet"
    db = KyotoCabinet::DB.new
    db.open("#{folder}/kyoto.kch", KyotoCabinet::DB::OWRITER | KyotoCabinet::DB::OCREATE) or raise db.error.to_s
    db
  end),
  Kind.new("Tokyo Cabinet", "ruby-tokyocabinet", lambda do |folder|
    require "tokyocabinet"
    db = TokyoCabinet::HDB.new
    db.open("#{folder}/tokyo.tch", TokyoCabinet::HDB::OWRITER | TokyoCabinet::HDB::OCREAT) or raise db.errmsg
    db
  end)
].freeze

# The loop is one text, for all stores; made anew for each, so that no call site has seen another's class.
def make_loop(operation)
  expression = operation == "get" ? "store[key]" : "store[key] = value"
  eval <<~LOOP, binding, __FILE__, __LINE__ + 1
    lambda do |store, keys, value|
      begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      keys.each { |key| #{expression} }
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
    end
  LOOP
end

# Every value is what was put; the last put of each wins.
def check(kind, store, keys)
  keys.each { |key| store[key] = "another" }
  keys.each { |key| store[key] = key * 2 }
  keys.each { |key| abort "bench.rb: #{kind.name}: wrong value" unless store[key] == key * 2 }
end

def median(numbers)
  sorted = numbers.sort
  (sorted[(sorted.size - 1) / 2] + sorted[sorted.size / 2]) / 2.0
end

# Whole walks over the keys until the slice is over. Gives nanoseconds for one operation.
def turn(loop, store, keys)
  value = "v" * 32
  seconds = loop.call(store, keys, value)
  walks = 1
  while seconds < SLICE
    seconds += loop.call(store, keys, value)
    walks += 1
  end
  seconds * 1e9 / (walks * keys.size)
end

def measure(operation, present, keys)
  work = present.map { |kind, store| [kind.name, store, make_loop(operation)] }
  times = Hash.new { |hash, name| hash[name] = [] }
  work.each { |_, store, loop| turn(loop, store, keys) } # to warm up
  ROUNDS.times do |round|
    (round.even? ? work : work.reverse).each { |name, store, loop| times[name] << turn(loop, store, keys) }
  end
  ratio = ->(name, to) { median(times[name].zip(times[to]).map { |a, b| a / b }).round(4) }
  figures = times.keys.to_h do |name|
    ns = median(times[name]).round(1)
    [name, { ns: ns, hash_ratio: ratio.call(name, "Hash"), shmkv_ratio: ratio.call(name, "shmkv") }]
  end
  { work: "ruby", operation: operation, keys: COUNT, key_size: 16, value_size: 32, stores: figures }
end

trap("TERM") { exit 1 } # so that the folder goes
keys = (1..COUNT).map { |i| format("%016x", i * 2_654_435_761) }.shuffle(random: Random.new(1)).map(&:freeze)
present = []
skipped = {}
results = nil
Dir.mktmpdir("shmkv-bench-ruby.", ENV.fetch("SHMKV_BENCH_DIR", "/dev/shm")) do |folder|
  KINDS.each do |kind|
    present << [kind, kind.open.call(folder)]
  rescue LoadError
    raise unless kind.package

    skipped[kind.name] = kind.package
    warn "bench.rb: #{kind.name} is skipped: not found (apt-get install #{kind.package})"
  end
  present.each { |kind, store| check(kind, store, keys) }
  results = %w[get overwrite].map { |operation| measure(operation, present, keys) }
  present.each { |kind, store| check(kind, store, keys) }
end
puts JSON.pretty_generate(language: "Ruby #{RUBY_VERSION}", skipped: skipped, rounds: ROUNDS, results: results,
                          complete: true)
