"""A cache with a bound, whose entries end, and that many may ask at once for what is not there: python3 cache.py SEGMENT"""

import os
import sys

import shmkv

ASKERS = 8
PAGES = 1000


def page(kv, name):
    def render():
        kv.incr("rendered")
        return "<h1>%s</h1>" % name

    # One renders, the others wait for it. If it raises or is killed, the next one renders.
    return kv.get_or_compute("page " + name, render, ttl=300)


def main():
    # At most so many pages: a new one puts out one that nobody has asked for lately. A bound in bytes is max_bytes.
    with shmkv.open(sys.argv[1], max_entries=PAGES) as kv:
        children = []
        for _ in range(ASKERS):
            child = os.fork()
            if not child:
                os._exit(page(kv, "news") != "<h1>news</h1>")
            children.append(child)
        good = sum(os.waitpid(child, 0)[1] == 0 for child in children)
        print(good, "have the page,", kv["rendered"], "rendered it")
        for number in range(2 * PAGES):
            page(kv, str(number))
            page(kv, "news")  # asked for all the time, so it stays
        print(len(kv), "entries, the news among them" if kv["rendered"] == 2 * PAGES + 1 else "entries")


main()
