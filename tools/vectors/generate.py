#!/usr/bin/env python3
"""Writes spec/vectors, or checks that it is what this would write.

    generate.py --write spec/vectors
    generate.py --check spec/vectors

Nothing here is random and nothing comes from the machine: the same bytes come out everywhere.
Exit status: 0 done, 1 the folder differs, 2 usage.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cases  # noqa: E402
import dumps  # noqa: E402
from segment import Image  # noqa: E402

LONG = 600  # bytes from which a key or value is told by its pattern


def describe(data):
    """Bytes for the manifest: {"hex": …}, or {"repeat": hex, "length": n} for long ones."""
    if len(data) < LONG:
        return {"hex": data.hex()}
    unit = data[:251]
    assert (unit * (len(data) // 251 + 1))[: len(data)] == data
    return {"repeat": unit.hex(), "length": len(data)}


def manifest_line(path, vector):
    line = {"file": path, "description": vector.description, "attach": vector.attach,
            "attach_readonly": vector.attach_readonly, "list": vector.list, "verify": vector.verify,
            "entries": [{"key": describe(key), "value": describe(value), "type": kind}
                        for key, (value, kind) in sorted(vector.entries.items())]}
    for name, keys in (("damaged", vector.damaged), ("absent", vector.absent)):
        if keys:
            line[name] = [describe(key) for key in sorted(keys)]
    if vector.frozen:
        line["frozen"] = True
    return line


def dump_line(path, dump):
    return {"file": path, "description": dump.description, "load": dump.load,
            "entries": [{"key": describe(key), "value": describe(value), "type": kind} | ({"expiry_ns": expiry} if expiry else {})
                        for key, value, kind, expiry in dump.entries]}


def build():
    """Every file below spec/vectors, by its path."""
    files, lines = {}, []
    for folder, functions in (("valid", cases.VALID), ("corrupt", cases.CORRUPT)):
        for name, function in functions:
            path = f"{folder}/{name}.shmkv"
            assert path not in files, path
            vector = function(Image(name))
            files[path] = vector.data
            lines.append(manifest_line(path, vector))
    dump_lines = []
    for name, function in dumps.DUMPS:
        dump = function()
        files[f"dumps/{name}.dump"] = dump.data
        dump_lines.append(dump_line(f"dumps/{name}.dump", dump))
    text, dump_text = (",\n".join(json.dumps(line) for line in part) for part in (lines, dump_lines))
    files["manifest.json"] = f'{{"revision": 1, "vectors": [\n{text}\n], "dumps": [\n{dump_text}\n]}}\n'.encode()
    return files


def stored(folder):
    paths = [*folder.glob("valid/*"), *folder.glob("corrupt/*"), *folder.glob("dumps/*"), folder / "manifest.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def check(folder, files):
    present = stored(folder)
    differing = sorted(path for path in files.keys() | present.keys() if files.get(path) != present.get(path))
    for path in differing:
        print(f"{folder / path} differs; run tools/vectors/generate.py --write {folder}", file=sys.stderr)
    return 1 if differing else 0


def write(folder, files):
    for path in stored(folder).keys() - files.keys():
        (folder / path).unlink()
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    print(f"{len(files) - 1} vectors, {sum(map(len, files.values()))} bytes")
    return 0


def main(argv):
    parser = argparse.ArgumentParser(description="Write spec/vectors, or check it.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=pathlib.Path, metavar="FOLDER")
    action.add_argument("--check", type=pathlib.Path, metavar="FOLDER")
    args = parser.parse_args(argv)
    if args.write:
        return write(args.write, build())
    return check(args.check, build())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
