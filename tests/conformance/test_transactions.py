"""A transaction of any language is one to all the others. Spec 6.15."""

import itertools
import struct
import unittest

from drivers import LANGUAGES, Driver, DriverTest

TYPES = ("bytes", "text", "ascii", "int", "least", "float", "whole", "infinity", "true", "false", "null", "array", "object")
ACCOUNTS = ("one", "two", "three")
TRANSFERS = 3000  # of each language between each two


class Transactions(DriverTest):
    def test_values_when_exchanged_then_are_still_of_their_types(self):
        for writer, exchanger in itertools.product(LANGUAGES, LANGUAGES):
            name = self.segment()
            self.drivers[writer].open(name)
            for value in TYPES:
                self.drivers[writer].native(value)
            before = {value: self.drivers[writer].describe(value) for value in TYPES}
            if exchanger != writer:
                self.drivers[exchanger].open(name)
            for one, other in zip(TYPES, TYPES[1:]):
                # As each is at its place by now, the first one travels to the end.
                with self.subTest(writer=writer, exchanger=exchanger, values=(one, other)):
                    self.drivers[exchanger].exchange(one, other)
                    self.same_values(self.drivers[writer].describe(one), before[other])
                    self.same_values(self.drivers[writer].describe(other), before[TYPES[0]])
            self.assertEqual(self.drivers[writer].verify(), 0)

    def same_values(self, found, expected):
        # To C, JSON is text, which another language may have written in another way.
        if expected.startswith("json:"):
            self.assertTrue(found.startswith("json:"), found)
        else:
            self.assertEqual(found, expected)

    def test_transfers_when_all_languages_make_them_at_once_then_nothing_is_lost(self):
        name = self.segment()
        reader = Driver("c")
        self.addCleanup(reader.end)
        reader.open(name)
        for driver in self.drivers.values():
            driver.open(name)
        for source, target in itertools.permutations(ACCOUNTS, 2):
            for driver in self.drivers.values():
                driver.send("transfer", source, target, TRANSFERS)
            for _ in range(50):
                self.assertEqual(sum(self.balances(reader)), 0)
            for driver in self.drivers.values():
                self.assertEqual(driver.answer(), ("ok", ""))
        self.assertEqual(self.balances(reader), [0, 0, 0], "as much went there as came back")
        self.assertEqual(reader.verify(), 0)

    def balances(self, reader):
        """As a snapshot has them, absent ones as 0."""
        found = {key: struct.unpack("<q", value)[0] for key, value in reader.all()}
        return [found.get(account.encode(), 0) for account in ACCOUNTS]


if __name__ == "__main__":
    unittest.main()
