"""Runs unittest files. Finding no test is a failure: a misnamed one must not pass for years."""

import importlib
import os
import sys
import unittest

suite = unittest.TestSuite()
for path in sys.argv[1:]:
    folder, name = os.path.split(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if name.startswith("test_"):  # the others are helpers that the tests import
        module = importlib.import_module(os.path.splitext(name)[0])
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))

if not suite.countTestCases():
    sys.exit("no tests in " + " ".join(sys.argv[1:]))
result = unittest.TextTestRunner(verbosity=2).run(suite)
sys.exit(not result.wasSuccessful())
