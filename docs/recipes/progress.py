"""Watches batch.pl from another language: python3 progress.py SEGMENT"""

import sys

import shmkv

with shmkv.open(sys.argv[1]) as kv:
    version = 0
    while True:
        kv.wait("progress", version)  # sleeps; no polling
        item = kv.get_item("progress")
        version, progress = item["version"], item["value"]
        print("%d of %d" % (progress["done"], progress["of"]))
        if progress["done"] == progress["of"]:
            break
