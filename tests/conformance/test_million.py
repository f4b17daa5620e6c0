"""A million entries from each language into each other one, and readers that miss nothing meanwhile."""

import os
import unittest

from drivers import LANGUAGES, DriverTest

MILLION = int(os.environ.get("SHMKV_TEST_ENTRIES", "1000000"))


class Million(DriverTest):
    def test_entries_when_loaded_by_one_then_all_read_by_each(self):
        for writer in LANGUAGES:
            name = self.segment()
            self.drivers[writer].open(name, "exclusive")
            self.drivers[writer].load(0, MILLION)
            for reader in LANGUAGES:
                if reader != writer:
                    self.drivers[reader].open(name, "readonly")
                self.drivers[reader].send("check", 0, MILLION)
            for reader in LANGUAGES:
                with self.subTest(writer=writer, reader=reader):
                    self.assertEqual(self.drivers[reader].answer(), ("count", str(MILLION)))
                    self.assertEqual(self.drivers[reader].count(), MILLION)
            for reader in LANGUAGES:
                self.drivers[reader].close()
            self.drivers[writer].unlink(name)

    def test_readers_when_a_writer_grows_the_store_then_miss_nothing(self):
        for writer in LANGUAGES:
            name = self.segment()
            self.drivers[writer].open(name, "exclusive")
            self.drivers[writer].load(0, 1000)
            readers = [language for language in LANGUAGES if language != writer]
            for reader in readers:
                self.drivers[reader].open(name, "readonly")
                self.drivers[reader].send("watch", 0, 1000, b"stop")
            self.drivers[writer].load(1000, MILLION - 1000)
            self.drivers[writer].put(b"stop", b"")
            for reader in readers:
                with self.subTest(writer=writer, reader=reader):
                    self.assertEqual(self.drivers[reader].answer(), ("missed", "0"))
            self.assertEqual(self.drivers[writer].count(), MILLION + 1)
            for language in LANGUAGES:
                self.drivers[language].close()
            self.drivers[writer].unlink(name)


if __name__ == "__main__":
    unittest.main()
