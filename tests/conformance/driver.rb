# frozen_string_literal: true

# The conformance driver in Ruby. README.md has the commands.

require "shmkv"

class Driver
  def initialize(out)
    @out = out
    @kv = nil
  end

  def run(command, *words)
    case command
    when "open", "unlink" then send("do_#{command}", *words)
    when "put", "get", "delete", "exists", "count", "all", "walk", "verify", "load", "check", "watch", "close"
      @kv ? send("do_#{command}", *words) : answer("error ECLOSED")
    else answer "error unknown command"
    end
  rescue ShmKV::Error => e
    answer e.code.positive? ? "error errno #{e.code}" : "error #{e.name.delete_prefix('SHMKV_')}"
  end

  private

  def unhex(word) = word == "-" ? "" : [word].pack("H*")
  def tohex(data) = data.empty? ? "-" : data.unpack1("H*")

  def answer(line) = @out.puts(line)

  def numbered(index)
    key = format("%016d", index)
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
    value = @kv.get(unhex(key))
    answer value ? "value #{tohex(value)}" : "absent"
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
