"""Every MUST of the specification is cited by code or by a test."""

import io
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).absolute().parent
sys.path.insert(0, str(HERE))

import tracing  # noqa: E402


class AllTraced(unittest.TestCase):
    def test_every_must_when_searched_then_is_cited(self):
        root = (HERE / "tracing.py").resolve().parents[2]  # the source tree itself
        out = io.StringIO()
        problems = tracing.report(root, out=out)
        print(out.getvalue())
        self.assertEqual(problems, 0, out.getvalue())


class Tracing(unittest.TestCase):
    def trace(self, chapter, code):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in (("spec/1-x.md", chapter), ("core/x.c", code)):
                (root / name).parent.mkdir()
                (root / name).write_text(text)
            return tracing.report(root, out=io.StringIO())

    def test_must_when_not_cited_then_a_problem(self):
        self.assertEqual(self.trace("- [AREA-01] It MUST.\n", ""), 1)
        self.assertEqual(self.trace("- [AREA-01] It MUST.\n", "/* [AREA-01] */"), 0)

    def test_should_when_not_cited_then_no_problem(self):
        self.assertEqual(self.trace("- [AREA-01] It SHOULD.\n", ""), 0)

    def test_range_when_cited_then_all_of_it_is(self):
        chapter = "- [AREA-01] MUST\n- [AREA-02] MUST\n- [AREA-03] MUST\n"
        self.assertEqual(self.trace(chapter, "[AREA-01] to [AREA-03]"), 0)

    def test_id_when_unknown_or_given_twice_then_a_problem(self):
        self.assertEqual(self.trace("- [AREA-01] MAY\n", "[AREA-02]"), 1)
        self.assertEqual(self.trace("- [AREA-01] MAY\n- [AREA-01] MAY\n", ""), 1)


if __name__ == "__main__":
    unittest.main()
