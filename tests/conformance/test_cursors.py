"""A position of any language is one to all the others; and what one puts by put_many, others find. Spec 6.5."""

import itertools
import unittest

from drivers import LANGUAGES, DriverError, DriverTest

STEP = 130


class Cursors(DriverTest):
    def open_all(self):
        name = self.segment()
        for driver in self.drivers.values():
            driver.open(name)

    def relay(self, prefix, meanwhile=lambda: None):
        """The keys of a walk in which each step is another language's; all of them write in between."""
        keys, position, languages = [], b"", itertools.cycle(LANGUAGES)
        while True:
            some, position = self.drivers[next(languages)].steps(prefix, position, STEP)
            self.assertEqual(len(position), 32)
            self.assertTrue(all(key.startswith(prefix) for key in some))
            keys += some
            if not some:
                return keys
            meanwhile()

    def test_walk_when_handed_from_language_to_language_then_gives_each_key_once(self):
        self.open_all()
        for first, driver in enumerate(self.drivers.values()):
            driver.put_many(1000 * first, 1000)
        numbers = itertools.count(4000, 1000)
        writers = itertools.cycle(self.drivers.values())

        def grow():
            first = next(numbers)
            if first < 100000:
                next(writers).put_many(first, 1000)

        keys = [key for key in self.relay(b"", grow) if int(key) < 4000]
        self.assertEqual(sorted(keys), [b"%016d" % i for i in range(4000)])
        keys = self.relay(b"00000000000007")
        self.assertEqual(sorted(keys), [b"%016d" % i for i in range(700, 800)])

    def test_position_when_it_is_none_then_refused_in_each_language(self):
        self.open_all()
        self.drivers["c"].put_many(0, 100)
        position = self.drivers["c"].steps(b"", b"", 10)[1]
        self.drivers["c"].open(self.segment())
        other = self.drivers["c"].steps(b"", b"", 10)[1]
        for language in LANGUAGES[1:]:
            with self.subTest(language):
                self.assertEqual(len(self.drivers[language].steps(b"", position, 100)[0]), 90)
                for wrong in (position[::-1], position[:-1], bytes(32), b"x"):
                    with self.assertRaisesRegex(DriverError, "^EARGUMENT$"):
                        self.drivers[language].steps(b"", wrong, 1)
                with self.assertRaisesRegex(DriverError, "^ESTALE$"):
                    self.drivers[language].steps(b"", other, 1)

    def test_many_when_put_and_deleted_by_each_then_seen_by_all(self):
        self.open_all()
        for writer, remover in itertools.product(self.drivers.values(), self.drivers.values()):
            writer.put_many(0, 600)
            for driver in self.drivers.values():
                self.assertEqual(driver.check(0, 600), 600)
            self.assertEqual(remover.delete_many(500, 200), 100)
            self.assertEqual(remover.delete_many(0, 600), 500)
            self.assertEqual(writer.count(), 0)


if __name__ == "__main__":
    unittest.main()
