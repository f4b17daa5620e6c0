"""The stub file says what the module has, and a type checker takes it."""

import ast
import inspect
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

import shmkv
from segments import SegmentTest

FOLDER = pathlib.Path(shmkv.__file__).parent
STUB = ast.parse((FOLDER / "__init__.pyi").read_text(encoding="utf-8"))
OPTIONS = {"stay", "any_owner", "huge_pages", "codec", "default_ttl", "evict", *shmkv._LIMITS}

# What SWIG gives to every type it makes.
SWIG_OWN = {"acquire", "disown", "next", "own", "this", "thisown"}

PROGRAM = """
import pathlib
import pickle
import shmkv

def work(name: str) -> int:
    with shmkv.open(name, "c", permissions=0o600, codec=pickle) as kv:
        kv["text"] = "value"
        kv[b"int"] = 5
        kv.update({"list": [1, 2], b"dict": {}})
        kv.update([(bytearray(b"k"), None)], more=1)
        kv |= {"more": 1}
        kv |= [(b"pair", 2)]
        kv.set("session", {"user": 7}, ttl=30, bound=True)
        found: dict[str, object] = kv.get_many(["text", "none"])
        keys: list[bytes] = [key for key in kv]
        pair: tuple[bytes, object] = kv.popitem()
        kv.put_many({"a": 1, "b": None}, ttl=5)
        kv.put_many([(b"c", 2.5)], bound=True)
        gone: int = kv.delete_many(["a", "b"])
        cursor = kv.cursor(prefix="user:")
        for key, value in cursor:
            keys.append(key)
        only: list[bytes] = list(kv.cursor(position=cursor.position, keys_only=True))
        keys += list(kv.keys(prefix=b"user:")) + only[gone:]
        with kv.lock("name", timeout=5) as token:
            print(token + 1, kv.get_or_compute("sum", lambda: 1 + 1, ttl=5))
        changed, position = kv.watch(0, timeout=1)
        doubled: int = kv.modify("int", lambda n: int(n) * 2)
        def move(txn: shmkv.Transaction) -> int:
            txn["a"] = txn.get(b"b", 0)
            del txn[b"b"]
            txn.set("c", 1, ttl=5)
            return 1 if "a" in txn else 0
        doubled += kv.transaction(["a", b"b", "c"], move)
        item = kv.get_item("text")
        version: int = item["version"] if item else 0
        kv.dump(pathlib.Path("dump"), snapshot=True)
        with open("dump", "rb") as file:
            kv.load(file, keep=True)
        try:
            del kv["none"]
        except shmkv.NotFound as error:
            print(error.code, error.detail, changed, position, keys, pair, found)
        return kv.clear() + version + doubled

def wrong(kv: shmkv.Store) -> None:
    kv[5] = 1  # type: ignore[index]
    kv.get(5)  # type: ignore[arg-type]
    kv.cas("k", "version", 1)  # type: ignore[arg-type]
    kv.delete(key="k")  # type: ignore[call-arg]
    kv.put("k")  # type: ignore[call-arg]
    kv.wait("k", timeout="1")  # type: ignore[arg-type]
    kv.transaction(["k"], lambda: None)  # type: ignore[arg-type, misc]
    kv.name = "other"  # type: ignore[misc]
    kv.nothing()  # type: ignore[attr-defined]
    shmkv.open("name", "x")  # type: ignore[arg-type]
    shmkv.open("name", size=1)  # type: ignore[call-arg]
    shmkv.open("name", codec=5)  # type: ignore[arg-type]
    hash(kv) + kv  # type: ignore[operator]
"""


def public(body):
    return {node.name: node for node in body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")}


def in_stub(function):
    """(name, kind, has a default) of each parameter, but for self."""
    a = function.args
    positional = a.posonlyargs + a.args
    required = len(positional) - len(a.defaults)
    found = [(arg.arg, "positional" if i < len(a.posonlyargs) else "any", i >= required)
             for i, arg in enumerate(positional)]
    found += [(arg.arg, "keyword", default is not None) for arg, default in zip(a.kwonlyargs, a.kw_defaults)]
    found += [(a.kwarg.arg, "rest", False)] if a.kwarg else []
    return [parameter for parameter in found if parameter[0] != "self"]


KINDS = {"POSITIONAL_ONLY": "positional", "POSITIONAL_OR_KEYWORD": "any", "KEYWORD_ONLY": "keyword", "VAR_KEYWORD": "rest"}


def in_module(name, function):
    # Made by SWIG: without keywords; its documentation begins with the call. Newer Pythons make up a signature for
    # those with one argument, so it is looked at only where there is no such line.
    call = re.match(r"\s*%s\(([^)]*)\)\n" % name, function.__doc__ or "")
    if call and not isinstance(function, types.FunctionType):
        return [(p.split("=")[0], "positional", "=" in p) for p in call[1].split(", ") if p]
    return [(p.name, KINDS[p.kind.name], p.default is not p.empty)
            for p in inspect.signature(function).parameters.values() if p.name != "self"]


class Stub(SegmentTest):
    def test_module_has_the_same_names(self):
        self.assertEqual(set(public(STUB.body)), set(shmkv.__all__))
        self.assertTrue((FOLDER / "py.typed").exists())

    def test_classes_have_the_same_methods(self):
        for of in ("Cursor", "Store", "Transaction"):
            self.compare_methods(public(public(STUB.body)[of].body), getattr(shmkv, of))

    def compare_methods(self, stub, of):
        module = {name for name in dir(of) if not name.startswith("_")} - SWIG_OWN
        if of is shmkv.Cursor:
            module.discard("append")  # also SWIG's; that of a Store is ours
        self.assertEqual(set(stub), module)
        for name, function in stub.items():
            found = inspect.getattr_static(of, name)
            with self.subTest(name):
                if isinstance(found, (property, types.GetSetDescriptorType)):
                    self.assertEqual([d.id for d in function.decorator_list], ["property"])
                else:
                    self.assertEqual(in_stub(function), in_module(name, found))

    def test_functions_have_the_same_parameters(self):
        stub = public(STUB.body)
        for name in ("unlink", "version"):
            self.assertEqual(in_stub(stub[name]), in_module(name, getattr(shmkv, name)))
        init = next(node for node in stub["Store"].body if getattr(node, "name", "") == "__init__")
        for function in (stub["open"], init):
            parameters = in_stub(function)
            self.assertEqual(parameters[:2], [("name", "any", False), ("flag", "any", True)])
            self.assertEqual(parameters[:2], in_module("open", shmkv.open)[:2])
            self.assertEqual({p[0] for p in parameters[2:]}, OPTIONS)
            defaults = {arg.arg: ast.literal_eval(default)
                        for arg, default in zip(function.args.kwonlyargs, function.args.kw_defaults)}
            shmkv.open(self.segment(), **defaults).close()

    def test_errors_have_the_same_bases(self):
        for name, node in public(STUB.body).items():
            if isinstance(node, ast.ClassDef) and name not in ("Cursor", "Store", "Transaction"):
                self.assertEqual([base.id for base in node.bases], [b.__name__ for b in getattr(shmkv, name).__bases__], name)

    @unittest.skipUnless(shutil.which("mypy"), "mypy is not installed (package mypy)")
    def test_mypy_takes_it_and_what_is_wrong_it_refuses(self):
        # What is wrong in the program says so: an error that is missing is one, too (--strict).
        with tempfile.TemporaryDirectory() as folder:
            package = pathlib.Path(folder, "stubs", "shmkv")
            package.mkdir(parents=True)
            for name in ("__init__.pyi", "py.typed"):
                shutil.copy(FOLDER / name, package)
            program = pathlib.Path(folder, "program.py")
            program.write_text(PROGRAM, encoding="utf-8")
            command = ["mypy", "--strict", "--cache-dir", "/dev/null", "--python-version",
                       "%d.%d" % sys.version_info[:2], str(program), str(package / "__init__.pyi")]
            result = subprocess.run(command, cwd=folder, env={"MYPYPATH": str(package.parent), "PATH": "/usr/bin:/bin"},
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(result.returncode, 0, result.stdout)


if __name__ == "__main__":
    unittest.main()
