"""PARITY.md has every C function, and the modules have what it says they have, and nothing beside it."""

import os
import pathlib
import re
import subprocess
import unittest

import shmkv

ROOT = pathlib.Path(__file__).absolute().parents[1]
TABLE = (ROOT / "bindings" / "PARITY.md").read_text(encoding="utf-8")
HEADERS = ROOT / "core" / "include" / "shmkv"
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in TABLE.splitlines() if row.startswith("| ")]

PERL, PYTHON, RUBY = 1, 2, 3

# What Python gives to every class, and SWIG to every type it makes.
PYTHON_OWN = {"acquire", "disown", "next", "own", "this", "thisown"}


def names(column, prefix):
    """The names that follow the prefix in a column, in backquotes."""
    pattern = "`" + re.escape(prefix) + r"([a-z_]+[?!]?)`"
    return {name for row in ROWS for name in re.findall(pattern, row[column])}


def run(language, *arguments):
    command = [os.environ["SHMKV_" + language], *arguments]
    return set(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split())


class CFunctions(unittest.TestCase):
    def test_table_when_compared_with_the_header_then_has_each_function_once(self):
        header = re.sub(r"/\*.*?\*/", "", (HEADERS / "shmkv.h").read_text(encoding="utf-8"), flags=re.DOTALL)
        functions = re.findall(r"^\w[\w \*]*?\b\*?(shmkv_\w+)\(", header, flags=re.MULTILINE)
        self.assertGreater(len(functions), 20)
        listed = re.findall(r"^\| `(shmkv_\w+)`", TABLE, flags=re.MULTILINE)
        self.assertEqual(sorted(listed), sorted(functions))

    def test_rows_when_a_name_is_missing_then_say_why(self):
        for row in ROWS:
            if row[0].startswith("`shmkv_"):
                self.assertEqual(len(row), 4, row)
                for cell in row[1:]:
                    self.assertRegex(cell, r"^(`.+`|absent: \w.+)$", row)

    def test_common_names_when_looked_up_then_the_same_in_each_language(self):
        for name in ("put", "get", "delete", "exists", "get_size", "get_all", "unlink"):
            for column, prefix in ((PERL, "$kv->"), (PYTHON, "kv."), (RUBY, "kv.")):
                self.assertIn(name, names(column, prefix))


class Modules(unittest.TestCase):
    def test_python_when_inspected_then_has_what_the_table_has(self):
        methods = {name for name in dir(shmkv.Store) if not name.startswith("_")} - PYTHON_OWN
        self.assertEqual(methods, names(PYTHON, "kv."))
        methods = {name for name in dir(shmkv.Transaction) if not name.startswith("_")}
        self.assertEqual(methods, names(PYTHON, "txn."))
        methods = {name for name in dir(shmkv.Cursor) if not name.startswith("_")} - PYTHON_OWN - {"append"}
        self.assertEqual(methods, names(PYTHON, "cursor."))
        functions = {name for name in shmkv.__all__ if not isinstance(getattr(shmkv, name), type)}
        self.assertEqual(functions, names(PYTHON, "shmkv."))
        self.assertEqual({n for n in names(PYTHON, "error.") if not hasattr(shmkv.Error, n)}, set())

    def perl_subs(self, package):
        script = "use ShmKV; no strict 'refs'; print join ' ', grep { defined &{\"%s::$_\"} } keys %%{'%s::'}"
        found = run("PERL", "-e", script % (package, package))
        return {name for name in found if re.fullmatch(r"[a-z][a-z_]*", name)}

    def test_perl_when_inspected_then_has_what_the_table_has(self):
        own = self.perl_subs("ShmKV") - {"bootstrap"}  # of every XS module
        self.assertEqual(own, names(PERL, "$kv->") | names(PERL, "ShmKV->"))
        self.assertEqual(self.perl_subs("ShmKV::Cursor"), names(PERL, "$cursor->"))
        self.assertEqual(self.perl_subs("ShmKV::Transaction"), names(PERL, "$txn->"))
        self.assertEqual(self.perl_subs("ShmKV::Error"), names(PERL, "$error->"))

    def test_ruby_when_inspected_then_has_what_the_table_has(self):
        script = "require 'shmkv'; puts %s"
        operators = {"[]", "[]="}
        methods = run("RUBY", "-e", script % "ShmKV::Store.public_instance_methods(false)") - operators
        self.assertEqual(methods, names(RUBY, "kv."))
        methods = run("RUBY", "-e", script % "ShmKV::Transaction.public_instance_methods(false)") - operators
        self.assertEqual(methods, names(RUBY, "txn."))
        methods = run("RUBY", "-e", script % "ShmKV::Cursor.public_instance_methods(false)")
        self.assertEqual(methods, names(RUBY, "cursor."))
        functions = run("RUBY", "-e", script % "ShmKV.singleton_methods")
        self.assertEqual(functions, names(RUBY, "ShmKV."))
        missing = names(RUBY, "error.") - run("RUBY", "-e", script % "ShmKV::Error.public_instance_methods")
        self.assertEqual(missing, set())


class Errors(unittest.TestCase):
    def setUp(self):
        text = (HEADERS / "errors.h").read_text(encoding="utf-8")
        self.classes = {c: int(n) for n, c in re.findall(r"X\(E\w+,\s*(-\d+),\s*(\w+),", text)}
        self.assertGreater(len(self.classes), 20)
        self.all = set(self.classes) | {"SystemFailure"}

    def test_python_when_inspected_then_has_a_class_per_code(self):
        found = {c.__name__ for c in vars(shmkv).values() if isinstance(c, type) and issubclass(c, shmkv.Error)}
        self.assertEqual(found - {"Error"}, self.all)
        for name, code in self.classes.items():
            self.assertEqual(getattr(shmkv, name).code, code)

    def test_perl_when_inspected_then_has_a_class_per_code(self):
        found = run("PERL", "-MShmKV", "-e", "print join ' ', grep { s/::$// } keys %ShmKV::Error::")
        self.assertEqual(found, self.all)

    def test_ruby_when_inspected_then_has_a_class_per_code(self):
        script = "puts ShmKV.constants.select { |c| k = ShmKV.const_get(c); k.is_a?(Class) && k < ShmKV::Error }"
        self.assertEqual(run("RUBY", "-rshmkv", "-e", script), self.all)

    def test_manuals_when_read_then_name_each_class(self):
        for manual in ("perl/lib/ShmKV.pm", "python/shmkv/__init__.py", "ruby/lib/shmkv.rb"):
            text = (ROOT / "bindings" / manual).read_text(encoding="utf-8")
            named = set(re.findall(r"\w+", re.search(r"\bBadName, BadKey, .*?\n(?=\n|module|\"\"\")", text, re.DOTALL)[0]))
            self.assertEqual(self.all - named, set(), manual)


class Manuals(unittest.TestCase):
    """They speak their own language: C names are for those who read shmkv.h."""

    C_NAMES = re.compile(r"\bshmkv_[a-z]+\(|\bSHMKV_(?!EKEY\b)[A-Z]+|\bstruct \w+|\b(size|u?int64|shmkv)_t\b|\bSwig\b|\bNULL\b")

    def test_python_when_read_by_help_then_has_no_c_names(self):
        for thing in [shmkv, *(getattr(shmkv, name) for name in shmkv.__all__)]:
            docs = {thing.__name__: thing.__doc__}
            if isinstance(thing, type):
                own = {name: value for base in thing.__mro__ if base.__name__ in shmkv.__all__ for name, value in vars(base).items()}
                docs.update({name: value.__doc__ for name, value in own.items() if not name.startswith("_")})
            for name, doc in docs.items():
                if isinstance(doc, str):
                    self.assertNotRegex(doc.replace("(in C SHMKV_ANY_OWNER)", ""), self.C_NAMES, name)

    def test_perl_and_ruby_when_read_then_have_no_c_names(self):
        pod = (ROOT / "bindings/perl/lib/ShmKV.pm").read_text(encoding="utf-8").split("__END__")[1]
        comments = re.findall(r"(?m)^ *#(.*)", (ROOT / "bindings/ruby/lib/shmkv.rb").read_text(encoding="utf-8"))
        for manual in (pod, "\n".join(comments)):
            self.assertNotRegex(manual, self.C_NAMES)


if __name__ == "__main__":
    unittest.main()
