# frozen_string_literal: true

# The conformance driver in Ruby. README.md has the commands.

require "shmkv"

class Driver
  NATIVES = {
    "bytes" => "\0\xff\xe9".b,
    "text" => "h\u00e9 \u263a \u{1f600}",
    "ascii" => "text",
    "int" => -7,
    "least" => -2**63,
    "most" => 2**63 - 1,
    "float" => 0.1 + 0.2,
    "whole" => 3.0,
    "infinity" => Float::INFINITY,
    "nan" => Float::NAN,
    "true" => true,
    "false" => false,
    "null" => nil,
    "array" => [1, 2.5, "h\u00e9", true, nil, [], {}],
    "object" => { "a" => [1, 2], "\u00e9" => { b: -2**63 }, x: 1e300 }
  }.freeze

  def initialize(out)
    @out = out
    @kv = nil
  end

  def run(command, *words)
    case command
    when "open", "unlink" then send("do_#{command}", *words)
    when "put", "get", "native", "describe", "exchange", "transfer", "delete", "exists", "count", "all", "walk", "verify",
         "load", "put_many", "delete_many", "steps", "check", "watch", "call", "close"
      @kv ? send("do_#{command}", *words) : answer("error ECLOSED")
    else answer "error unknown command"
    end
  rescue ShmKV::Error => e
    answer e.code.positive? ? "error errno #{e.code}" : "error #{e.name.delete_prefix('SHMKV_')}"
  end

  private

  def unhex(word) = word == "-" ? "".b : [word].pack("H*")

  # The bytes that the format gives to a value of any type.
  def bytes_of(value)
    case value
    when String then value.b
    when true, false then value ? "\1" : "\0"
    when Integer then [value].pack("q<")
    when Float then [value].pack("E")
    when nil then ""
    else JSON.generate(value)
    end
  end

  # As README.md says.
  def describe(value)
    case value
    when String then (value.encoding == Encoding::BINARY ? "bytes:" : "text:") + value.unpack1("H*")
    when true, false then value.to_s
    when Integer then "int:#{value}"
    when Float then value.nan? ? "nan" : "float:#{[value].pack('G').unpack1('H*')}"
    when Array then "[#{value.map { |member| describe(member) }.join(',')}]"
    when Hash then "{#{value.map { |name, member| "#{describe(name)}=#{describe(member)}" }.sort.join(',')}}"
    when nil then "null"
    else "?#{value.class}"
    end
  end

  def tohex(value)
    data = bytes_of(value)
    data.empty? ? "-" : data.unpack1("H*")
  end

  def answer(line) = @out.puts(line)

  def numbered(index)
    key = format("%016d", index).b
    [key, key * 2]
  end

  def there?(index)
    key, value = numbered(index)
    @kv[key] == value
  end

  def range(first, count) = first.to_i...first.to_i + count.to_i

  def entries(pairs)
    pairs.each { |key, value| answer "entry #{tohex(key)} #{tohex(value)}" }
    answer "end"
  end

  def do_open(name, mode, *options)
    @kv&.close
    @kv = nil
    numbers = options.each_slice(2).to_h { |option, number| [option.to_sym, number.to_i] }
    @kv = ShmKV.open(unhex(name), mode: mode.to_sym, **numbers)
    answer "ok"
  end

  def do_unlink(name)
    ShmKV.unlink(unhex(name))
    answer "ok"
  end

  def do_put(key, value)
    @kv.put(unhex(key), unhex(value))
    answer "ok"
  end

  def do_get(key)
    answer "value #{tohex(@kv.fetch(unhex(key)))}"
  rescue KeyError
    answer "absent"
  end

  def do_native(name)
    @kv.put(name, NATIVES.fetch(name))
    answer "ok"
  end

  def do_describe(name) = answer("value #{describe(@kv.fetch(name))}")

  def do_exchange(one, other)
    @kv.transaction(one, other) { |txn| txn[one], txn[other] = txn[other], txn[one] }
    answer "ok"
  end

  def do_transfer(from, to, count)
    count.to_i.times do
      @kv.transaction(from, to) do |txn|
        txn[from] = (txn[from] || 0) - 1
        txn[to] = (txn[to] || 0) + 1
      end
    end
    answer "ok"
  end

  def do_delete(key) = answer(@kv.delete(unhex(key)) ? "ok" : "absent")
  def do_exists(key) = answer(@kv.exists(unhex(key)) ? "yes" : "no")
  def do_count = answer("count #{@kv.get_size}")
  def do_all = entries(@kv.get_all)
  def do_walk = entries(@kv)
  def do_verify = answer("count #{@kv.verify.size}")

  def do_load(first, count)
    range(first, count).each { |i| @kv.put(*numbered(i)) }
    answer "ok"
  end

  def do_put_many(first, count)
    @kv.put_many(range(first, count).map { |i| numbered(i) })
    answer "ok"
  end

  def do_delete_many(first, count)
    answer "count #{@kv.delete_many(range(first, count).map { |i| numbered(i).first })}"
  end

  def do_steps(prefix, from, count)
    cursor = @kv.cursor(prefix: unhex(prefix), position: from == "-" ? nil : unhex(from))
    cursor.first(count.to_i).each { |key, value| answer "entry #{tohex(key)} #{tohex(value)}" }
    answer "end #{tohex(cursor.position)}"
  end

  def do_check(first, count)
    answer "count #{range(first, count).count { |i| there?(i) }}"
  end

  def do_watch(first, count, stop)
    missed = 0
    loop do
      missed += range(first, count).count { |i| !there?(i) }
      break if @kv.exists(unhex(stop))
    end
    answer "missed #{missed}"
  end

  # The value of a description, but for arrays and objects.
  def parse(word)
    kind, rest = word.split(":", 2)
    case kind
    when "bytes" then [rest].pack("H*")
    when "text" then [rest].pack("H*").force_encoding(Encoding::UTF_8)
    when "int" then rest.to_i
    when "float" then [rest].pack("H*").unpack1("G")
    else { "nan" => Float::NAN, "true" => true, "false" => false, "null" => nil }.fetch(kind)
    end
  end

  # Before the command has its answer.
  def tell(line)
    answer line
    @out.flush
  end

  # nil is no value of its own here: nobody asks for a null.
  def described(value) = value.nil? ? "absent" : "value #{describe(value)}"
  def yes(answer) = answer ? "yes" : "no"

  def done(_result) = "ok"

  def item(key)
    found = @kv.get_item(key) or return "absent"
    "item #{describe(found[:value])} #{found[:version]} #{found[:expires_ns] || 0} #{found[:bound] ? 1 : 0}"
  end

  def many(keys)
    found = @kv.get_many(keys)
    "values #{keys.map { |key| found.key?(key) ? describe(found[key]) : 'absent' }.join(' ')}"
  end

  def pop
    key, value = @kv.pop
    key ? "entry #{tohex(key)} #{describe(value)}" : "absent"
  end

  def wait(key, version, seconds)
    tell "waiting"
    yes(@kv.wait(key, version: version, timeout: seconds))
  end

  def watch_store(position, seconds)
    tell "waiting"
    changed, position = @kv.watch(position, timeout: seconds)
    "#{changed ? 'changed' : 'unchanged'} #{position}"
  end

  def hold(name, seconds)
    tell "waiting"
    @kv.lock(name, timeout: seconds) do |token|
      tell "held #{token}"
      $stdin.gets
    end
    "ok"
  end

  def compute(key, seconds)
    tell "waiting"
    value = @kv.get_or_compute(key, timeout: seconds) do
      tell "computing"
      parse($stdin.gets.strip)
    end
    described(value)
  end

  def locks
    found = @kv.locks
    "locks #{found.size} #{found.count { |lock| lock[:owner] }}"
  end

  def owners
    alive = @kv.owners.select { |owner| owner[:liveness] == "alive" }
    "owners #{alive.map { |owner| owner[:pid] }.sort.join(' ')}"
  end

  OPERATIONS = {
    "item" => ->(key) { item(key) },
    "get_many" => ->(*keys) { many(keys) },
    "set" => ->(key, value, ttl = nil) { done(@kv.set(key, value, ttl: ttl)) },
    "bind" => ->(key, value) { done(@kv.set(key, value, bound: true)) },
    "add" => ->(key, value) { yes(@kv.add(key, value)) },
    "replace" => ->(key, value) { yes(@kv.replace(key, value)) },
    "swap" => ->(key, value) { described(@kv.swap(key, value)) },
    "take" => ->(key) { described(@kv.take(key)) },
    "cas" => ->(key, version, value) { yes(@kv.cas(key, version, value)) },
    "cas_value" => ->(key, expected, value) { yes(@kv.cas_value(key, expected, value)) },
    "delete" => ->(key) { yes(@kv.delete(key)) },
    "delete_if" => ->(key, version) { yes(@kv.delete_if(key, version)) },
    "delete_value" => ->(key, expected) { yes(@kv.delete_value(key, expected)) },
    "append" => ->(key, value) { "count #{@kv.append(key, value)}" },
    "incr" => ->(key, amount, initial = 0) { described(@kv.incr(key, amount, initial: initial)) },
    "decr" => ->(key, amount, initial = 0) { described(@kv.decr(key, amount, initial: initial)) },
    "at_least" => ->(key, number) { described(@kv.at_least(key, number)) },
    "at_most" => ->(key, number) { described(@kv.at_most(key, number)) },
    "get_or_set" => ->(key, value) { described(@kv.get_or_set(key, value)) },
    "modify" => ->(key) { described(@kv.modify(key) { |old| old.nil? ? 1 : 2 * old }) },
    "touch" => ->(key, ttl = nil) { yes(@kv.touch(key, ttl)) },
    "pop" => -> { pop },
    "clear" => -> { "count #{@kv.clear}" },
    "sweep" => -> { "count #{@kv.sweep}" },
    "wait" => ->(key, version, seconds) { wait(key, version, seconds) },
    "watch" => ->(position, seconds) { watch_store(position, seconds) },
    "hold" => ->(name, seconds) { hold(name, seconds) },
    "compute" => ->(key, seconds) { compute(key, seconds) },
    "freeze" => -> { done(@kv.freeze_segment) },
    "sync" => -> { done(@kv.sync) },
    "dump" => ->(path) { "count #{@kv.dump(path)}" },
    "load" => ->(path, how = nil) { "count #{how ? @kv.load(path, how.to_sym => true) : @kv.load(path)}" },
    "info" => -> { "info #{@kv.info.values_at(:default_ttl_ns, :max_entries, :max_size, :frozen).join(' ')}" },
    "stats" => -> { "stats #{@kv.stats.values_at(:entries, :evictions).join(' ')}" },
    "locks" => -> { locks },
    "owners" => -> { owners }
  }.freeze

  def do_call(operation, *words)
    answer instance_exec(*words.map { |word| parse(word) }, &OPERATIONS.fetch(operation))
  end

  def do_close
    @kv.close
    @kv = nil
    answer "ok"
  end
end

$stdin.binmode
driver = Driver.new($stdout)
$stdin.each_line do |line|
  driver.run(*line.split)
  $stdout.flush
end
