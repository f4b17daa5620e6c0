"""Moves money between accounts, together with workers in other languages: python3 transfer.py SEGMENT TRANSFERS"""

import random
import sys

import shmkv


def transfer(kv, source, target, amount):
    """Both balances change or none, whoever is killed when. Tells whether there was enough."""

    def move(txn):
        if txn[source] < amount:
            return False
        txn[source] -= amount
        txn[target] += amount
        txn["transfers"] += 1
        return True

    return kv.transaction([source, target, "transfers"], move)


with shmkv.open(sys.argv[1]) as kv:
    for _ in range(int(sys.argv[2])):
        transfer(kv, *random.sample(["alice", "bob", "carol"], 2), random.randint(1, 100))
