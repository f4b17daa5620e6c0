"""Configuration shared by prefork workers: python3 config.py SEGMENT

Each worker keeps a copy, so that using it costs nothing, and is told of a new one.
"""

import os
import sys

import shmkv

WORKERS = 3


def work(kv, number):
    item = kv.get_item("config")
    while item["value"]["state"] != "stop":
        # Here a worker would serve requests by item["value"]. In a real one this wait is a thread
        # of its own, or a kv.wait(..., timeout=0) between two requests.
        kv.wait("config", item["version"])
        item = kv.get_item("config")
    kv.incr("stopped")


def main():
    with shmkv.open(sys.argv[1]) as kv:
        kv["config"] = {"state": "run", "limit": 10}
        children = []
        for number in range(WORKERS):
            child = os.fork()
            if not child:
                work(kv, number)
                os._exit(0)
            children.append(child)
        kv["config"] = {"state": "run", "limit": 20}
        kv["config"] = {"state": "stop"}
        for child in children:
            os.waitpid(child, 0)
        print(kv["stopped"], "workers have seen the last configuration")


main()
