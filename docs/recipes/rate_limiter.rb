# frozen_string_literal: true

# At most LIMIT requests for each client in a window of time: ruby rate_limiter.rb SEGMENT

require "shmkv"

LIMIT = 5
WINDOW = 3600 # seconds

# One counter for each client and window. It is counted by all processes together, and is
# absent when its window is over; later counters get its memory.
def allow?(kv, client, now = Time.now.to_i)
  key = "rate #{client} #{now / WINDOW}"
  kv.add(key, 0, ttl: 2 * WINDOW)
  kv.incr(key) <= LIMIT
end

ShmKV.open(ARGV.fetch(0)) do |kv|
  now = Time.now.to_i
  answers = Array.new(8) { allow?(kv, "10.0.0.7", now) }
  puts "#{answers.count(true)} allowed, #{answers.count(false)} refused"
  puts allow?(kv, "10.0.0.8", now) ? "another client is allowed" : "another client is refused"
  puts allow?(kv, "10.0.0.7", now + WINDOW) ? "the next window is open" : "the next window is closed"
end
