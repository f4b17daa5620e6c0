"""Segment names that no other test uses, and their removal."""

import os
import secrets
import unittest

import shmkv


class SegmentTest(unittest.TestCase):
    """A test case whose segments go away with it, whatever happens."""

    def segment(self):
        # Not the pid: tests in sandboxes of their own share pids, and /dev/shm.
        name = "shmkv-test-py-" + secrets.token_hex(8)
        self.addCleanup(self._remove, name)
        return name

    def open(self, *args, **options):
        """A new segment, open."""
        kv = shmkv.open(self.segment(), *args, **options)
        self.addCleanup(kv.close)
        return kv

    @staticmethod
    def _remove(name):
        try:
            shmkv.unlink(name)
        except shmkv.Error:
            pass

    def in_child(self, work):
        """Run work() in a forked child, which must not raise."""
        pid = os.fork()
        if not pid:
            status = 1
            try:
                work()
                status = 0
            except BaseException as error:
                os.write(2, ("in the child: %r\n" % error).encode())
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
