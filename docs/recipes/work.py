"""Does the jobs of submit.pl: python3 work.py SEGMENT. Any number of workers may run.

take() gives each job to one worker. It is gone from the segment then: a worker that dies takes its
job along. Where that must not be, keep the job under another key until it is done.
"""

import sys

import shmkv


def jobs(kv):
    position = 0
    while True:
        ended = kv.get("submitters done")  # before looking: what they stored is seen then
        found = False
        for key in sorted(kv.keys(prefix="job ")):  # all keys are looked at: they lie in no order
            job = kv.take(key)
            if job is not None:  # else another worker has it
                found = True
                yield job
        if not found and ended:
            return
        if not found:
            _, position = kv.watch(position, timeout=1)


with shmkv.open(sys.argv[1]) as kv:
    for job in jobs(kv):
        kv.incr("sum", sum(job["numbers"]))
        kv.incr("jobs done")
