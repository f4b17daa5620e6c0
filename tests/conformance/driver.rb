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
    when "put", "get", "native", "describe", "exchange", "transfer", "delete", "exists", "count", "all", "walk", "verify", "load",
         "put_many", "delete_many", "steps", "check", "watch", "close"
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

  def do_open(name, mode)
    @kv&.close
    @kv = nil
    @kv = ShmKV.open(unhex(name), mode: mode.to_sym)
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
