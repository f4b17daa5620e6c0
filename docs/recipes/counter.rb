# frozen_string_literal: true

# Counts requests together with workers in other languages: ruby counter.rb SEGMENT REQUESTS

require "shmkv"

ShmKV.open(ARGV.fetch(0)) do |kv|
  ARGV.fetch(1).to_i.times do |i|
    kv.incr("requests")
    kv.incr("requests by ruby")
    kv.at_least("longest, us", 100 + i)
  end
end
