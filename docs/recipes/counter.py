"""Counts requests together with workers in other languages: python3 counter.py SEGMENT REQUESTS"""

import sys

import shmkv

with shmkv.open(sys.argv[1]) as kv:
    for i in range(int(sys.argv[2])):
        kv.incr("requests")
        kv.incr("requests by python")
        kv.at_least("longest, us", 100 + i)
