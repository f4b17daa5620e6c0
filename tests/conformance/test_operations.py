"""Each operation has the same answer and the same effect in every language, whoever prepared for it.

For each ordered pair of languages the one prepares, the other does it, and all four look at what is there then: they
must agree on values, types, versions and expiry, and on what was expected. Spec 6.
"""

import dataclasses
import itertools
import math
import os
import shutil
import tempfile
import unittest

from drivers import LANGUAGES, Driver, DriverError, DriverTest, describe, unhex

PAIRS = list(itertools.product(LANGUAGES, LANGUAGES))
MOST, LEAST = 2**63 - 1, -(2**63)
LONG = 1000  # seconds; longer than any test
WAIT = None  # for ever
SAME = None  # after an operation that changes nothing: not even a version


@dataclasses.dataclass(frozen=True)
class Ends:
    """A value with an end: long after the test, or now."""

    value: object
    ttl: int = LONG


@dataclasses.dataclass(frozen=True)
class Version:
    """In a call: the version that the preparing language reads."""

    key: bytes


K, J = b"k", b"j"
EXPIRED = {K: Ends(7, 0)}


def value(it):
    return "value " + describe(it)


# What is there, the call, its answer, and what is there afterwards.
OPERATIONS = [
    ({}, ("set", K, "h\u00e9"), "ok", {K: "h\u00e9"}),
    ({K: 1, J: 2}, ("set", K, b"\0\xff"), "ok", {K: b"\0\xff", J: 2}),
    ({K: 1}, ("set", K, None), "ok", {K: None}),
    ({K: True}, ("set", K, False), "ok", {K: False}),
    ({K: Ends(1)}, ("set", K, 2), "ok", {K: 2}),
    ({}, ("set", K, 2, LONG), "ok", {K: Ends(2)}),
    ({K: 1}, ("set", K, 2, 0), "ok", {}),
    ({K: 1}, ("set", b"", 2), "error EKEY", SAME),
    ({K: 1}, ("set", b"x" * 65537, 2), "error EKEY", SAME),
    ({}, ("add", K, 5), "yes", {K: 5}),
    ({K: 1}, ("add", K, 5), "no", SAME),
    (EXPIRED, ("add", K, 5), "yes", {K: 5}),
    ({K: 1}, ("replace", K, "t"), "yes", {K: "t"}),
    ({J: 1}, ("replace", K, "t"), "no", SAME),
    (EXPIRED, ("replace", K, 5), "no", {}),
    ({K: "old"}, ("swap", K, 2.5), value("old"), {K: 2.5}),
    ({}, ("swap", K, 2.5), "absent", {K: 2.5}),
    (EXPIRED, ("swap", K, 2.5), "absent", {K: 2.5}),
    ({K: b"old", J: 1}, ("take", K), value(b"old"), {J: 1}),
    ({J: 1}, ("take", K), "absent", SAME),
    (EXPIRED, ("take", K), "absent", {}),
    ({K: 1}, ("cas", K, Version(K), 2), "yes", {K: 2}),
    ({K: 1, J: 1}, ("cas", K, Version(J), 2), "no", SAME),
    ({J: 1}, ("cas", K, 0, 2), "yes", {K: 2, J: 1}),
    ({K: 1}, ("cas", K, 0, 2), "no", SAME),
    ({J: 1}, ("cas", K, Version(J), 2), "no", SAME),
    (EXPIRED, ("cas", K, 0, 2), "yes", {K: 2}),
    ({K: "a"}, ("cas_value", K, "a", "b"), "yes", {K: "b"}),
    ({K: "a"}, ("cas_value", K, "x", "b"), "no", SAME),
    ({K: "a"}, ("cas_value", K, b"a", "b"), "no", SAME),
    ({K: 1}, ("cas_value", K, 1.0, 2), "no", SAME),
    ({J: 1}, ("cas_value", K, 1, 2), "no", SAME),
    ({K: b"v" * 1500}, ("cas_value", K, b"v" * 1500, "b"), "yes", {K: "b"}),
    ({K: 1, J: 2}, ("delete", K), "yes", {J: 2}),
    ({J: 2}, ("delete", K), "no", SAME),
    (EXPIRED, ("delete", K), "no", {}),
    ({K: 1}, ("delete_if", K, Version(K)), "yes", {}),
    ({K: 1, J: 1}, ("delete_if", K, Version(J)), "no", SAME),
    ({J: 1}, ("delete_if", K, Version(J)), "no", SAME),
    ({K: True}, ("delete_value", K, True), "yes", {}),
    ({K: True}, ("delete_value", K, False), "no", SAME),
    ({K: "a"}, ("delete_value", K, b"a"), "no", SAME),
    ({J: 1}, ("delete_value", K, 1), "no", SAME),
    ({K: b"ab"}, ("append", K, b"\0c"), "count 4", {K: b"ab\0c"}),
    ({K: "h"}, ("append", K, "\u00e9"), "count 3", {K: "h\u00e9"}),
    ({}, ("append", K, b"ab"), "count 2", {K: b"ab"}),
    ({}, ("append", K, "ab"), "count 2", {K: "ab"}),
    ({K: Ends(b"a")}, ("append", K, b"b"), "count 2", {K: Ends(b"ab")}),
    ({K: 1}, ("append", K, b"b"), "error ETYPE", SAME),
    ({K: "h"}, ("append", K, b"\xff"), "error EVALUE", SAME),
    ({K: 40}, ("incr", K, 2), value(42), {K: 42}),
    ({K: 40}, ("incr", K, -42), value(-2), {K: -2}),
    ({}, ("incr", K, 2), value(2), {K: 2}),
    ({}, ("incr", K, 2, 10), value(12), {K: 12}),
    (EXPIRED, ("incr", K, 2, 10), value(12), {K: 12}),
    ({K: Ends(1)}, ("incr", K, 1), value(2), {K: Ends(2)}),
    ({K: MOST - 1}, ("incr", K, 1), value(MOST), {K: MOST}),
    ({K: MOST}, ("incr", K, 1), "error EOVERFLOW", SAME),
    ({K: LEAST}, ("incr", K, -1), "error EOVERFLOW", SAME),
    ({K: "1"}, ("incr", K, 1), "error ETYPE", SAME),
    ({K: 1.5}, ("incr", K, 1), "error ETYPE", SAME),
    ({K: 1.5}, ("incr", K, 0.25), value(1.75), {K: 1.75}),
    ({}, ("incr", K, 0.25), value(0.25), {K: 0.25}),
    ({}, ("incr", K, 0.25, 1.0), value(1.25), {K: 1.25}),
    ({K: 1}, ("incr", K, 0.25), "error ETYPE", SAME),
    ({K: 1.5e308}, ("incr", K, 1.5e308), "error EOVERFLOW", SAME),
    ({K: 40}, ("decr", K, 2), value(38), {K: 38}),
    ({}, ("decr", K, 2, 10), value(8), {K: 8}),
    ({K: 1.5}, ("decr", K, 0.25), value(1.25), {K: 1.25}),
    ({K: LEAST}, ("decr", K, 1), "error EOVERFLOW", SAME),
    ({K: -1.5e308}, ("decr", K, 1.5e308), "error EOVERFLOW", SAME),
    ({K: 5}, ("at_least", K, 9), value(9), {K: 9}),
    ({K: 5}, ("at_least", K, 3), value(5), SAME),
    ({}, ("at_least", K, -3), value(-3), {K: -3}),
    ({K: 5.0}, ("at_least", K, 5.5), value(5.5), {K: 5.5}),
    ({K: math.nan}, ("at_least", K, 5.5), value(5.5), {K: 5.5}),
    ({K: "5"}, ("at_least", K, 9), "error ETYPE", SAME),
    ({K: 5}, ("at_most", K, 3), value(3), {K: 3}),
    ({K: 5}, ("at_most", K, 9), value(5), SAME),
    ({}, ("at_most", K, 3), value(3), {K: 3}),
    ({K: 5.0}, ("at_most", K, 4.5), value(4.5), {K: 4.5}),
    ({K: 5.0}, ("at_most", K, -math.inf), "error EARGUMENT", SAME),
    ({K: 5.0}, ("at_most", K, 3), "error ETYPE", SAME),
    ({K: "there"}, ("get_or_set", K, "new"), value("there"), SAME),
    ({}, ("get_or_set", K, "new"), value("new"), {K: "new"}),
    (EXPIRED, ("get_or_set", K, "new"), value("new"), {K: "new"}),
    ({K: 21}, ("modify", K), value(42), {K: 42}),
    ({}, ("modify", K), value(1), {K: 1}),
    ({K: 1}, ("touch", K, LONG), "yes", {K: Ends(1)}),
    ({K: Ends(1)}, ("touch", K), "yes", {K: 1}),
    ({K: 1}, ("touch", K, 0), "yes", {}),
    ({J: 1}, ("touch", K, LONG), "no", SAME),
    (EXPIRED, ("touch", K, LONG), "no", {}),
    ({b"only": 7}, ("pop",), "entry 6f6e6c79 int:7", {}),
    ({}, ("pop",), "absent", {}),
    (EXPIRED, ("pop",), "absent", {}),
    ({K: 1, J: 2}, ("clear",), "count 2", {}),
    ({K: 1, J: Ends(2, 0)}, ("clear",), "count 1", {}),
    ({}, ("clear",), "count 0", {}),
    ({K: 1, J: Ends(2, 0), b"l": Ends(3)}, ("sweep",), "count 1", {K: 1, b"l": Ends(3)}),
    ({K: 1}, ("sweep",), "count 0", SAME),
    ({K: 1, J: "h\u00e9"}, ("get_many", K, b"x", J), "values int:1 absent text:68c3a9", SAME),
    ({K: 1}, ("wait", K, Version(K), 0), ["waiting", "no"], SAME),
    ({K: 1, J: 1}, ("wait", K, Version(J), 0), ["waiting", "yes"], SAME),
    ({K: 1}, ("wait", K, 0, 0), ["waiting", "yes"], SAME),
    ({J: 1}, ("wait", K, 0, 0), ["waiting", "no"], SAME),
    ({K: 1}, ("sync",), "ok", SAME),
]

# Each would change something where K is 5, b"t" a text, and J expired.
CHANGES = [
    ("set", K, 6),
    ("bind", K, 6),
    ("add", b"new", 6),
    ("replace", K, 6),
    ("swap", K, 6),
    ("take", K),
    ("cas", K, Version(K), 6),
    ("cas_value", K, 5, 6),
    ("delete", K),
    ("delete_if", K, Version(K)),
    ("delete_value", K, 5),
    ("append", b"t", "x"),
    ("incr", K, 1),
    ("incr", b"new", 0.5),
    ("decr", K, 1),
    ("at_least", K, 6),
    ("at_most", K, 4),
    ("get_or_set", b"new", 6),
    ("modify", K),
    ("touch", K, LONG),
    ("pop",),
    ("clear",),
    ("sweep",),
]


class Operations(DriverTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Where two processes meet, both may be of one language.
        cls.others = {language: Driver(language) for language in LANGUAGES}

    @classmethod
    def tearDownClass(cls):
        for driver in cls.others.values():
            driver.end()
        super().tearDownClass()

    def for_each_pair(self, check):
        """With a new segment, which all have open."""
        for one, other in PAIRS:
            with self.subTest(one=one, other=other):
                self.opened(self.segment())
                check(self.drivers[one], self.others[other])

    def opened(self, name, *options):
        for driver in [*self.drivers.values(), *self.others.values()]:
            driver.open(name, "shared", *options)

    def spawn(self, language, name):
        """A process that is there to be killed."""
        driver = Driver(language)
        self.addCleanup(driver.kill)
        driver.open(name)
        return driver

    def prepare(self, driver, there):
        for key, it in there.items():
            arguments = (it.value, it.ttl) if isinstance(it, Ends) else (it,)
            self.assertEqual(driver.call("set", key, *arguments), "ok")

    def resolve(self, driver, call):
        return [self.version(driver, word.key) if isinstance(word, Version) else word for word in call]

    def version(self, driver, key):
        return int(driver.call("item", key).split()[2])

    def state(self, keys=()):
        """Of each key what all four languages tell of it, with one voice."""
        found = []
        for driver in self.drivers.values():
            there = {key for key, _ in driver.all()}
            found.append({key: driver.call("item", key) for key in there | set(keys)})
        for language, one in zip(LANGUAGES, found):
            self.assertEqual(one, found[0], "%s and %s see different things" % (language, LANGUAGES[0]))
        return {key: line for key, line in found[0].items() if line != "absent"}

    def assert_state(self, expected, keys=()):
        found = self.state(set(expected) | set(keys))
        self.assertEqual(found.keys(), expected.keys())
        for key, it in expected.items():
            _, description, _, expires, _ = found[key].split()
            self.assertEqual(description, describe(it.value if isinstance(it, Ends) else it))
            self.assertEqual(int(expires) > 0, isinstance(it, Ends), "%r ends at %s" % (key, expires))

    def assert_told(self, question, answer):
        self.assertEqual({driver.call(question) for driver in self.drivers.values()}, {answer})

    def lines(self, driver, call, expected):
        driver.begin(*call)
        return [driver.line() for _ in expected]

    def test_operation_when_another_language_prepared_then_all_see_the_same_effect(self):
        for one, other in PAIRS:
            self.opened(self.segment())
            for there, call, answer, after in OPERATIONS:
                with self.subTest(one=one, other=other, there=there, call=call):
                    self.check_operation(self.drivers[one], self.others[other], there, call, answer, after)
            self.assertEqual({driver.verify() for driver in self.drivers.values()}, {0})

    def check_operation(self, one, other, there, call, answer, after):
        one.call("clear")
        self.prepare(one, there)
        before = self.state(there)
        answer = answer if isinstance(answer, list) else [answer]
        self.assertEqual(self.lines(other, self.resolve(one, call), answer), answer)
        if after is SAME:
            self.assertEqual(self.state(there), before)
        else:
            self.assert_state(after, there)

    def test_pop_when_another_language_stored_then_each_entry_is_given_once(self):
        def check(one, other):
            self.prepare(one, {b"%d" % i: i for i in range(20)})
            given = [driver.call("pop").split() for driver in [one, other] * 10]
            self.assertEqual(
                {unhex(key): description for _, key, description in given},
                {b"%d" % i: "int:%d" % i for i in range(20)},
            )
            self.assertEqual(self.state(), {})

        self.for_each_pair(check)

    def test_version_when_a_value_changes_then_no_language_can_use_the_old_one(self):
        def check(one, other):
            self.prepare(one, {K: 1})
            version = self.version(other, K)
            self.assertEqual(one.call("incr", K, 1), value(2))
            self.assertEqual(other.call("cas", K, version, 3), "no")
            self.assertEqual(other.call("delete_if", K, version), "no")
            self.assertEqual(one.call("cas", K, self.version(other, K), 3), "yes")
            self.assert_state({K: 3})

        self.for_each_pair(check)

    def error_of(self, command):
        with self.assertRaises(DriverError) as caught:
            command()
        return str(caught.exception)

    def refused(self, one, other, error):
        """All that would change something has this error, and nothing has changed."""
        before = self.state()
        for call in CHANGES:
            with self.subTest(one=one.language, other=other.language, call=call):
                self.assertEqual(other.call(*self.resolve(one, call)), "error " + error)
                self.assertEqual(self.state(), before)
        for command in (
            lambda: other.put_many(0, 3),
            lambda: other.delete_many(0, 3),
            lambda: other.transfer("k", "new", 1),
            lambda: other.exchange("k", "t"),
        ):
            self.assertEqual(self.error_of(command), error)
            self.assertEqual(self.state(), before)
        for call in ("hold", K, WAIT), ("compute", b"new", WAIT):
            self.assertEqual(self.lines(other, call, "12"), ["waiting", "error " + error])
        self.assertEqual(self.lines(other, ("compute", K, WAIT), "12"), ["waiting", value(5)])
        self.assertEqual(other.call("get_or_set", K, 6), value(5))
        self.assertEqual(other.call("get_many", K, b"t"), "values int:5 text:74")

    def test_operations_when_another_language_froze_then_are_efrozen(self):
        def check(one, other):
            self.prepare(one, {K: 5, b"t": "t", J: Ends(1, 0)})
            self.assertEqual(one.call("freeze"), "ok")
            self.assert_told("info", "info 0 0 0 1")
            self.refused(one, other, "EFROZEN")
            self.assertEqual(self.lines(other, ("wait", K, self.version(one, K), WAIT), "12"), ["waiting", "error EFROZEN"])
            self.assertEqual(other.call("freeze"), "ok", "it is")

        self.for_each_pair(check)

    def test_operations_when_the_handle_is_read_only_then_are_ereadonly(self):
        for one, other in PAIRS:
            name = self.segment()
            self.opened(name)
            self.prepare(self.drivers[one], {K: 5, b"t": "t", J: Ends(1, 0)})
            self.others[other].open(name, "readonly")
            self.refused(self.drivers[one], self.others[other], "EREADONLY")
            self.assertEqual(self.others[other].call("freeze"), "error EREADONLY")
            self.assertEqual(self.drivers[one].call("incr", K, 1), value(6), "it is not frozen")

    def test_wait_when_another_language_changes_the_key_then_the_waiter_wakes(self):
        changes = [
            ({K: 1}, ("set", K, 2), {K: 2}),
            ({K: 1}, ("incr", K, 1), {K: 2}),
            ({K: 1}, ("delete", K), {}),
            ({}, ("add", K, 2), {K: 2}),
        ]

        def check(changer, waiter):
            for there, change, after in changes:
                changer.call("clear")
                self.prepare(changer, there)
                waiter.begin("wait", K, self.version(changer, K) if there else 0, WAIT)
                self.assertEqual(waiter.line(), "waiting")
                waiter.until_asleep()
                changer.call(*change)
                self.assertEqual(waiter.woken(), "yes")
                self.assert_state(after, [K])

        self.for_each_pair(check)

    def test_watch_when_another_language_changes_anything_then_the_watcher_wakes(self):
        def check(changer, watcher):
            position = 0
            for change in ("set", K, 1), ("incr", K, 1), ("delete", K):
                watcher.begin("watch", self.settled(watcher, position), WAIT)
                self.assertEqual(watcher.line(), "waiting")
                watcher.until_asleep()
                changer.call(*change)
                told, position = watcher.woken().split()
                self.assertEqual(told, "changed")

        self.for_each_pair(check)

    def settled(self, watcher, position):
        """The position after which nothing has changed: a watcher may be told of changes that do not show, and so
        of one more than was made."""
        told = "changed"
        while told == "changed":
            waiting, answer = self.lines(watcher, ("watch", int(position), 0), "12")
            told, position = answer.split()
        self.assertEqual((waiting, told), ("waiting", "unchanged"))
        return int(position)

    def held(self, driver, name):
        driver.begin("hold", name, WAIT)
        self.assertEqual(driver.line(), "waiting")
        word, token = driver.line().split()
        self.assertEqual(word, "held")
        return int(token)

    def released(self, driver):
        driver.send("release")
        self.assertEqual(driver.line(), "ok")

    def test_lock_when_one_language_holds_it_then_another_does_not_get_it(self):
        def check(holder, other):
            self.held(holder, K)
            self.assertEqual(self.lines(other, ("hold", K, 0), "12"), ["waiting", "error ETIMEDOUT"])
            self.held(other, J)
            self.released(other)
            other.begin("hold", K, WAIT)
            self.assertEqual(other.line(), "waiting")
            other.until_asleep()
            self.released(holder)
            self.assertRegex(other.woken(), "^held [0-9]+$")
            self.assertEqual(self.lines(holder, ("hold", K, 0), "12"), ["waiting", "error ETIMEDOUT"])
            self.released(other)
            self.held(holder, K)
            self.released(holder)
            self.assertEqual(self.state(), {}, "no entry tells of the lock")

        self.for_each_pair(check)

    def test_lock_when_its_holder_is_killed_then_the_next_language_gets_it(self):
        for one, other in PAIRS:
            with self.subTest(holder=one, waiter=other):
                name = self.segment()
                self.opened(name)
                holder = self.spawn(one, name)
                self.held(holder, K)
                waiter = self.others[other]
                waiter.begin("hold", K, WAIT)
                self.assertEqual(waiter.line(), "waiting")
                waiter.until_asleep()
                holder.kill()
                self.assertRegex(waiter.woken(), "^held [0-9]+$")
                self.released(waiter)

    def test_get_or_compute_when_two_languages_ask_then_one_computes(self):
        def check(one, other):
            self.begin_two(one, other)
            one.send(describe("made"))
            self.assertEqual(one.line(), value("made"))
            self.assertEqual(other.woken(), value("made"), "the other does not compute")
            self.assertEqual(self.lines(other, ("compute", K, WAIT), "12"), ["waiting", value("made")])
            self.assert_state({K: "made"})

        self.for_each_pair(check)

    def begin_two(self, one, other):
        """The one computes, the other waits for it."""
        one.begin("compute", K, WAIT)
        self.assertEqual([one.line(), one.line()], ["waiting", "computing"])
        self.assertEqual(self.lines(other, ("compute", K, 0), "12"), ["waiting", "error ETIMEDOUT"])
        other.begin("compute", K, WAIT)
        self.assertEqual(other.line(), "waiting")
        other.until_asleep()

    def test_get_or_compute_when_the_one_is_killed_then_the_other_computes(self):
        for one, other in PAIRS:
            with self.subTest(killed=one, other=other):
                name = self.segment()
                self.opened(name)
                killed = self.spawn(one, name)
                heir = self.others[other]
                self.begin_two(killed, heir)
                killed.kill()
                self.assertEqual(heir.woken(), "computing")
                heir.send(describe(7))
                self.assertEqual(heir.line(), value(7))
                self.assert_state({K: 7})

    def bind(self, one, name):
        """A process that has bound K, and one more key that outlives it."""
        self.opened(name)
        owner = self.spawn(one, name)
        self.assertEqual(owner.call("bind", K, 7), "ok")
        self.prepare(owner, {J: 8})
        self.assertEqual({key: line[-2:] for key, line in self.state().items()}, {K: " 1", J: " 0"})
        return owner

    def test_bound_key_when_its_owner_closes_then_is_absent_to_all(self):
        for one, other in PAIRS:
            with self.subTest(owner=one, other=other):
                owner = self.bind(one, self.segment())
                self.assertEqual(self.others[other].call("add", K, 9), "no")
                owner.close()
                self.assert_state({J: 8}, [K])
                self.assertEqual(self.others[other].call("add", K, 9), "yes")
                self.assert_state({K: 9, J: 8})

    def test_bound_key_when_its_owner_is_killed_then_another_language_can_add_it(self):
        for one, other in PAIRS:
            with self.subTest(owner=one, other=other):
                owner = self.bind(one, self.segment())
                owner.kill()
                self.assertEqual(self.others[other].call("add", K, 9), "yes")
                self.assert_state({K: 9, J: 8})

    def test_bound_key_when_its_owner_is_killed_then_is_absent_to_all_who_look(self):
        for one in LANGUAGES:
            with self.subTest(owner=one):
                owner = self.bind(one, self.segment())
                owner.kill()
                self.assert_state({J: 8}, [K])

    def test_bound_key_when_its_owner_is_killed_then_a_waiter_in_another_language_wakes(self):
        for one, other in PAIRS:
            with self.subTest(owner=one, waiter=other):
                owner = self.bind(one, self.segment())
                waiter = self.others[other]
                waiter.begin("wait", K, self.version(waiter, K), WAIT)
                self.assertEqual(waiter.line(), "waiting")
                waiter.until_asleep()
                owner.kill()
                self.assertEqual(waiter.woken(), "yes")
                self.assert_state({J: 8}, [K])

    def test_bound_key_when_its_owner_was_killed_then_any_language_sweeps_it(self):
        for one, other in PAIRS:
            with self.subTest(owner=one, sweeper=other):
                owner = self.bind(one, self.segment())
                owner.kill()
                self.assertEqual(self.others[other].call("sweep"), "count 1")
                self.assert_state({J: 8}, [K])
                self.assertEqual({driver.count() for driver in self.drivers.values()}, {1})
                self.assertEqual(self.others[other].verify(), 0)

    def test_modify_leaves_the_end_of_an_entry_as_it_is(self):
        name = self.segment()
        self.drivers["c"].open(name, "exclusive", "default_ttl", LONG)
        self.opened(name)
        never = b"never"
        for one, driver in self.drivers.items():
            with self.subTest(modifier=one):
                self.prepare(driver, {K: Ends(21, 2 * LONG), never: 21})
                driver.call("touch", never)
                before = {key: line.split()[3] for key, line in self.state().items()}
                self.assertEqual(driver.call("modify", K), value(42))
                self.assertEqual(driver.call("modify", never), value(42))
                after = self.state()
                self.assertEqual({key: line.split()[1] for key, line in after.items()}, {K: "int:42", never: "int:42"})
                self.assertEqual({key: line.split()[3] for key, line in after.items()}, before)
                self.assertEqual(before[never], "0")
                driver.call("delete", K)
                self.assertEqual(driver.call("modify", K), value(1), "which is new")
                self.assertNotIn(self.state()[K].split()[3], ("0", before[K]))
                driver.call("clear")

    def test_modify_of_a_bound_entry_makes_one_that_stays(self):
        for one, other in PAIRS:
            with self.subTest(owner=one, modifier=other):
                owner = self.bind(one, self.segment())
                self.assertEqual(self.others[other].call("modify", K), value(14))
                owner.kill()
                self.assert_state({K: 14, J: 8})

    def test_default_ttl_when_one_language_chose_it_then_holds_for_what_any_stores(self):
        for one, other in PAIRS:
            with self.subTest(creator=one, other=other):
                name = self.segment()
                self.drivers[one].open(name, "exclusive", "default_ttl", LONG)
                self.opened(name)
                self.assert_told("info", "info %d 0 0 0" % (LONG * 10**9))
                self.prepare(self.others[other], {K: 1, J: 2})
                self.assertEqual(self.others[other].call("incr", b"n", 1), value(1))
                self.assert_state({K: Ends(1), J: Ends(2), b"n": Ends(1)})
                self.assertEqual(self.others[other].call("touch", J), "yes")
                self.assert_state({K: Ends(1), J: 2, b"n": Ends(1)})

    def test_cache_when_another_language_fills_it_then_all_see_what_was_evicted(self):
        bound, stored = 16, 100
        for one, other in PAIRS:
            with self.subTest(creator=one, other=other):
                name = self.segment()
                self.drivers[one].open(name, "exclusive", "max_entries", bound)
                self.opened(name)
                self.others[other].load(0, stored)
                left = self.state()
                self.assertEqual(len(left), bound)
                drivers = self.drivers.values()
                self.assertEqual({driver.count() for driver in drivers}, {bound})
                self.assert_told("info", "info 0 %d 0 0" % bound)
                self.assert_told("stats", "stats %d %d" % (bound, stored - bound))
                self.assertEqual({driver.check(0, stored) for driver in drivers}, {bound})
                self.assertEqual({driver.verify() for driver in drivers}, {0})

    def test_set_when_the_segment_may_not_grow_then_is_enospc_and_all_is_as_before(self):
        limit = 1 << 20
        for one, other in PAIRS:
            with self.subTest(creator=one, other=other):
                name = self.segment()
                self.drivers[one].open(name, "exclusive", "max_size", limit)
                self.opened(name)
                self.assert_told("info", "info 0 0 %d 0" % limit)
                self.prepare(self.drivers[one], {K: 1})
                before = self.state()
                for call in ("set", K), ("add", J), ("append", J), ("swap", K):
                    self.assertEqual(self.others[other].call(*call, b"v" * limit), "error ENOSPC")
                self.assertEqual(self.state(), before)
                self.assertEqual(self.others[other].verify(), 0)

    def test_dump_when_another_language_loads_it_then_all_see_the_entries(self):
        folder = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, folder)
        there = {K: 1, J: Ends("h\u00e9"), b"b": b"\0\xff", b"f": 0.5, b"n": None, b"t": True}
        for one, other in PAIRS:
            with self.subTest(dumper=one, loader=other):
                path = os.fsencode(os.path.join(folder, one + "-" + other))
                dumper, loader = self.drivers[one], self.others[other]
                self.opened(self.segment())
                self.prepare(dumper, {**there, b"expired": Ends(1, 0)})
                self.assertEqual(dumper.call("bind", b"bound", 1), "ok")
                self.assertEqual(dumper.call("dump", path), "count 6")
                self.opened(self.segment())
                self.prepare(dumper, {K: 2, b"more": 3})
                self.assertEqual(loader.call("load", path, "keep"), "count 5")
                self.assert_state({**there, K: 2, b"more": 3})
                self.assertEqual(loader.call("load", path), "count 6")
                self.assert_state({**there, b"more": 3})
                self.assertEqual(loader.call("load", path, "replace"), "count 6")
                self.assert_state(there)
                with open(path, "rb+") as file:
                    file.truncate(os.path.getsize(path) - 1)
                self.assertEqual(loader.call("load", path, "replace"), "error EDUMP")
                self.assert_state(there)

    def test_owners_and_locks_when_all_languages_wrote_then_all_tell_the_same(self):
        name = self.segment()
        self.opened(name)
        everybody = [*self.drivers.values(), *self.others.values()]
        for driver in everybody:
            self.assertEqual(driver.call("incr", K, 1).split()[0], "value")
        pids = "owners " + " ".join(map(str, sorted(driver.pid for driver in everybody)))
        self.assertEqual({driver.call("owners") for driver in everybody}, {pids})
        locks = {driver.call("locks") for driver in everybody}
        self.assertEqual(len(locks), 1)
        self.assertRegex(locks.pop(), "^locks [1-9][0-9]* 0$")
        self.assertEqual({driver.verify() for driver in everybody}, {0})

    def test_sync_when_the_segment_is_a_file_then_any_language_can(self):
        folder = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, folder)
        for one, other in PAIRS:
            with self.subTest(one=one, other=other):
                self.opened(os.path.join(folder, one + "-" + other))
                self.prepare(self.drivers[one], {K: 1})
                self.assertEqual(self.others[other].call("sync"), "ok")
                self.assert_state({K: 1})


if __name__ == "__main__":
    unittest.main()
