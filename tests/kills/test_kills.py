"""Runs kill_writers with writers in all four languages."""

import os
import pathlib
import re
import subprocess
import unittest

HERE = pathlib.Path(__file__).absolute().parent


class Kills(unittest.TestCase):
    def test_killed_writers_lose_nothing(self):
        done = subprocess.run(
            [os.environ["SHMKV_KILL_WRITERS"], os.environ["SHMKV_KILLS"]],
            env=dict(os.environ, SHMKV_WRITERS=str(HERE)),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0)
        killed = re.search(r"C (\d+), Perl (\d+), Python (\d+), Ruby (\d+)", done.stdout).groups()
        self.assertNotIn("0", killed, "writers of one language were never killed")


if __name__ == "__main__":
    unittest.main()
