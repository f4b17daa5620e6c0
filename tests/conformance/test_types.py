"""A value of each type, stored by each language, is the same value to each other one. Spec 10.2."""

import itertools
import json
import unittest

from drivers import LANGUAGES, DriverTest, unhex


def text(string):
    return "text:" + string.encode().hex()


DESCRIPTIONS = {
    "bytes": "bytes:00ffe9",
    "text": text("h\u00e9 \u263a \U0001f600"),
    "ascii": text("text"),
    "int": "int:-7",
    "least": "int:-9223372036854775808",
    "most": "int:9223372036854775807",
    "float": "float:3fd3333333333334",
    "whole": "float:4008000000000000",
    "infinity": "float:7ff0000000000000",
    "nan": "nan",
    "true": "true",
    "false": "false",
    "null": "null",
    "array": "[int:1,float:4004000000000000,%s,true,null,[],{}]" % text("h\u00e9"),
    "object": "{%s=[int:1,int:2],%s=float:7e37e43c8800759c,%s={%s=int:-9223372036854775808}}"
    % tuple(map(text, ("a", "x", "\u00e9", "b"))),
}

# What C, which leaves JSON as it is, must find in it.
PARSED = {
    "array": [1, 2.5, "h\u00e9", True, None, [], {}],
    "object": {"a": [1, 2], "\u00e9": {"b": -(2**63)}, "x": 1e300},
}


class Types(DriverTest):
    def check(self, name, reader, description):
        if reader.language == "c" and name in PARSED:
            kind, _, data = description.partition(":")
            self.assertEqual(kind, "json")
            self.assertEqual(json.loads(unhex(data)), PARSED[name])
        else:
            self.assertEqual(description, DESCRIPTIONS[name])

    # proves [VAL-01] [VAL-03]
    def test_value_when_stored_by_one_language_then_is_the_same_to_each(self):
        for writer, reader in itertools.product(LANGUAGES, LANGUAGES):
            name = self.segment()
            self.drivers[writer].open(name)
            for value in DESCRIPTIONS:
                self.drivers[writer].native(value)
            if reader != writer:
                self.drivers[reader].open(name, "readonly")
            for value in DESCRIPTIONS:
                with self.subTest(writer=writer, reader=reader, value=value):
                    self.check(value, self.drivers[reader], self.drivers[reader].describe(value))


if __name__ == "__main__":
    unittest.main()
