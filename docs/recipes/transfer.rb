# frozen_string_literal: true

# Moves money between accounts, together with workers in other languages: ruby transfer.rb SEGMENT TRANSFERS

require "shmkv"

# Both balances change or none, whoever is killed when. Tells whether there was enough.
def transfer(kv, from, to, amount)
  kv.transaction(from, to, "transfers") do |txn|
    next false if txn[from] < amount

    txn[from] -= amount
    txn[to] += amount
    txn["transfers"] += 1
    true
  end
end

ShmKV.open(ARGV.fetch(0)) do |kv|
  ARGV.fetch(1).to_i.times do
    from, to = %w[alice bob carol].sample(2)
    transfer(kv, from, to, rand(1..100))
  end
end
