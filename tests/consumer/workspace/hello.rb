require "shmkv"

name = "shmkv-consumer-ruby-#{Process.pid}"
ShmKV.open(name) do |kv|
  kv["k"] = "v"
  raise "read something else" unless kv["k"] == "v"
end
ShmKV.unlink(name)
puts "ok"
