"""One of several processes leads; when it dies, another one does: python3 leader.py SEGMENT"""

import os
import signal
import sys

import shmkv

CANDIDATES = 3


def stand(kv):
    with kv.lock("leader"):  # waits until whoever leads ends, however that happens
        # For those who want to know who leads; gone with this process, not with the key's writer alone.
        kv.set("leader", os.getpid(), bound=True)
        signal.pause()  # leads


def next_leader(kv, last):
    while True:
        item = kv.get_item("leader")
        if item and item["value"] != last:
            return item["value"]
        kv.wait("leader", item["version"] if item else 0)


def main():
    with shmkv.open(sys.argv[1]) as kv:
        children = []
        for _ in range(CANDIDATES):
            child = os.fork()
            if not child:
                stand(kv)
            children.append(child)
        leaders = []
        for _ in range(CANDIDATES):
            leaders.append(next_leader(kv, leaders[-1] if leaders else None))
            os.kill(leaders[-1], signal.SIGKILL)
            os.waitpid(leaders[-1], 0)
        print(len(set(leaders)), "have led, one after the other")
        assert sorted(leaders) == sorted(children)


main()
