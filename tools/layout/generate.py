#!/usr/bin/env python3
"""Turn spec/layout.toml into what follows from it.

    generate.py --c-header OUT LAYOUT       the structs, words, enums and constants, with asserts
    generate.py --c-names OUT LAYOUT        names, offsets and meanings, for the inspector
    generate.py --table REGION LAYOUT       one Markdown table, for instance --table 'struct header'
    generate.py --update-chapters LAYOUT CHAPTER...
    generate.py --check-chapters LAYOUT CHAPTER...

A chapter holds tables between two marks, which the last two rewrite or compare:

    <!-- layout: struct header -->
    <!-- end -->

The regions are: format, features, constants, classes, hash, struct NAME, word NAME, enum NAME.

Every run first checks the layout itself: no two fields overlap, all are
aligned, bit fields fit into their word. OUT may be "-" for standard output.

Exit status: 0 done, 1 a chapter differs or the layout contradicts itself, 2 usage.
"""

import argparse
import re
import sys
import tomllib

SCALARS = {"u8": (1, "uint8_t"), "u16": (2, "uint16_t"), "u32": (4, "uint32_t"), "u64": (8, "uint64_t")}
WORD_WIDTH = {"lock": 32}  # every other word has 64 bits


class LayoutError(Exception):
    """The layout contradicts itself."""


# ------------------------------------------------------------------ the model


def load(path):
    with open(path, "rb") as file:
        layout = tomllib.load(file)
    check(layout)
    return layout


def field_type(layout, text):
    """Split "u8[16]" into (element name, element size, count or None)."""
    match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", text)
    if not match:
        raise LayoutError(f"type {text!r} is not understood")
    name, count = match.group(1), match.group(2)
    if name in SCALARS:
        size = SCALARS[name][0]
    elif name in layout["structs"]:
        size = layout["structs"][name]["size"]
    else:
        raise LayoutError(f"type {name!r} is not known")
    return name, size, int(count) if count else None


def field_size(layout, field):
    _, size, count = field_type(layout, field["type"])
    return size * (count if count is not None else 1)


def bit_fields(table):
    """The (name, first bit, width, doc) of a word, lowest bit first."""
    fields = [(n, *f["bits"], f["doc"]) for n, f in table.items() if isinstance(f, dict)]
    return sorted(fields, key=lambda field: field[1])


def class_sizes(layout):
    """Cell sizes by class number; class 0, a run of its own, has size 0."""
    return [0] + layout["classes"]["small"] + layout["classes"]["medium"]


def check(layout):
    for name, struct in layout["structs"].items():
        end = 0
        for field in struct["fields"]:
            where = f"struct {name}, field {field['name']}"
            element, size, _ = field_type(layout, field["type"])
            if field["offset"] < end:
                raise LayoutError(f"{where}: overlaps the field before it")
            if field["offset"] % (size if element in SCALARS else 8):
                raise LayoutError(f"{where}: not aligned")
            end = field["offset"] + field_size(layout, field)
        if end > struct["size"] or struct["size"] % 8:
            raise LayoutError(f"struct {name}: fields end at {end}, size is {struct['size']}")
    for name, word in layout["words"].items():
        check_bits(f"word {name}", bit_fields(word), WORD_WIDTH.get(name, 64))
    check_bits("hash_bits", bit_fields(layout["hash_bits"]), 64)
    constants = layout["constants"]
    sizes = class_sizes(layout)
    others = sizes[constants["BUCKET_CLASS"]["value"] + 1:]
    if others != sorted(others) or any(size % constants["CELL_ALIGN"]["value"] for size in sizes):
        raise LayoutError("classes: sizes must ascend and be multiples of CELL_ALIGN")
    if len(sizes) > 64:
        raise LayoutError("classes: more than an arena has lists for")
    if len(layout["format"]["magic"].encode()) != 8:
        raise LayoutError("magic: not 8 bytes")


def check_bits(where, fields, width):
    end = 0
    for name, first, bits, _ in fields:
        if first < end:
            raise LayoutError(f"{where}, {name}: overlaps the field before it")
        end = first + bits
    if end > width:
        raise LayoutError(f"{where}: wider than {width} bits")


# ------------------------------------------------------------------- C header


def number(value):
    return f"{value}ULL" if value >= 1 << 31 else str(value)


def c_bits(prefix, fields):
    for name, first, bits, doc in fields:
        stem = f"SHMKV_{prefix}_{name}".upper()
        yield f"#define {stem}_SHIFT {first} /* {doc} */"
        yield f"#define {stem}_BITS {bits}"
        yield f"#define {stem}_MASK 0x{(1 << bits) - 1:x}ULL"


def c_magic(layout):
    text = "".join(chr(b) if 32 < b < 127 else f"\\{b:03o}" for b in layout["format"]["magic"].encode())
    return f'"{text}"'


def c_struct(layout, name, struct):
    tag = f"struct shmkv_{name}_layout"
    yield f"/* {struct['doc']} */"
    yield tag + " {"
    end = 0
    for field in struct["fields"]:
        if field["offset"] > end:
            yield f"    uint8_t unused_{end}[{field['offset'] - end}];"
        element, _, count = field_type(layout, field["type"])
        ctype = SCALARS[element][1] if element in SCALARS else f"struct shmkv_{element}_layout"
        suffix = f"[{count}]" if count is not None else ""
        yield f"    {ctype} {field['name']}{suffix}; /* {field['doc']} */"
        end = field["offset"] + field_size(layout, field)
    if struct["size"] > end:
        yield f"    uint8_t unused_{end}[{struct['size'] - end}];"
    yield "};"
    yield f'_Static_assert(sizeof({tag}) == {struct["size"]}, "size of {name}");'
    for field in struct["fields"]:
        yield (f"_Static_assert(offsetof({tag}, {field['name']}) == {field['offset']}, "
               f'"offset of {name}.{field["name"]}");')
    yield ""


def c_header(layout):
    constants, classes = layout["constants"], layout["classes"]
    page = constants["PAGE_SIZE"]["value"]
    out = [
        "/* Generated by tools/layout/generate.py from spec/layout.toml. Do not edit. */",
        "#ifndef SHMKV_LAYOUT_GEN_H",
        "#define SHMKV_LAYOUT_GEN_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        f"#define SHMKV_MAGIC {c_magic(layout)} /* 8 bytes, and the literal's own zero */",
        "#define SHMKV_MAGIC_SIZE 8",
        f"#define SHMKV_REVISION {layout['format']['revision']}",
        "",
    ]
    for direction, bits in layout["features"].items():
        mask = 0
        for feature in bits:
            out.append(f"#define SHMKV_{direction.upper()}_{feature['name'].upper()} 0x{1 << feature['bit']:x}ULL")
            mask |= 1 << feature["bit"]
        out.append(f"#define SHMKV_FEATURES_{direction.upper()} 0x{mask:x}ULL /* every bit known */")
    out.append("")
    out += [f"#define SHMKV_{name} {number(c['value'])} /* {c['doc']} */" for name, c in constants.items()]
    out += [
        "",
        f"#define SHMKV_CLASS_COUNT {len(class_sizes(layout))} /* with class 0, a run of its own */",
        f"#define SHMKV_SMALL_CLASSES {len(classes['small'])} /* classes 1 to this are in small slabs */",
        f"#define SHMKV_CLASS_SIZES {{{', '.join(map(str, class_sizes(layout)))}}}",
        f"#define SHMKV_SMALL_SLAB_SIZE {classes['small_pages'] * page}",
        f"#define SHMKV_MEDIUM_SLAB_SIZE {classes['medium_pages'] * page}",
        "",
    ]
    for name, word in layout["words"].items():
        out.append(f"/* Word {name}. {word['doc']} */")
        out += c_bits(name, bit_fields(word))
        out.append("")
    out.append("/* The hash of a key. */")
    out += c_bits("hash", bit_fields(layout["hash_bits"]))
    out.append("")
    for name, values in layout["enums"].items():
        out.append(f"enum shmkv_{name} {{")
        rows = [f"SHMKV_{name.upper()}_{key} = {value['value']}" for key, value in values.items()]
        docs = [f" /* {value['doc']} */" for value in values.values()]
        commas = [","] * (len(rows) - 1) + [""]
        out += [f"    {row}{comma}{doc}" for row, comma, doc in zip(rows, commas, docs)]
        out += ["};", ""]
    for name, struct in layout["structs"].items():
        out += c_struct(layout, name, struct)
    out += ["#endif", ""]
    return "\n".join(out)


# ---------------------------------------------------------- C table of names


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_array(kind, name, rows):
    return [f"static const struct {kind} {name}[] = {{", *[f"    {{{row}}}," for row in rows], "};", ""]


def c_names(layout):
    out = [
        "/* Generated by tools/layout/generate.py from spec/layout.toml. Do not edit. */",
        "#ifndef SHMKV_LAYOUT_NAMES_H",
        "#define SHMKV_LAYOUT_NAMES_H",
        "",
        "struct layout_field { const char *name; unsigned offset, size; const char *type; const char *doc; };",
        "struct layout_struct { const char *name; unsigned size; const char *doc;"
        " const struct layout_field *fields; unsigned field_count; };",
        "struct layout_bits { const char *name; unsigned first, width; const char *doc; };",
        "struct layout_word { const char *name; unsigned width; const char *doc;"
        " const struct layout_bits *bits; unsigned bit_count; };",
        "struct layout_value { const char *name; unsigned long long value; const char *doc; };",
        "struct layout_enum { const char *name; const struct layout_value *values; unsigned value_count; };",
        "",
    ]
    structs, words, enums = [], [], []
    for name, struct in layout["structs"].items():
        rows = [f"{c_string(f['name'])}, {f['offset']}, {field_size(layout, f)}, "
                f"{c_string(f['type'])}, {c_string(f['doc'])}" for f in struct["fields"]]
        out += c_array("layout_field", f"layout_fields_{name}", rows)
        structs.append(f"{c_string(name)}, {struct['size']}, {c_string(struct['doc'])}, "
                       f"layout_fields_{name}, {len(rows)}")
    tables = list(layout["words"].items()) + [("hash", {"doc": "The hash of a key.", **layout["hash_bits"]})]
    for name, word in tables:
        rows = [f"{c_string(n)}, {first}, {width}, {c_string(doc)}" for n, first, width, doc in bit_fields(word)]
        out += c_array("layout_bits", f"layout_bits_{name}", rows)
        words.append(f"{c_string(name)}, {WORD_WIDTH.get(name, 64)}, {c_string(word['doc'])}, "
                     f"layout_bits_{name}, {len(rows)}")
    for name, values in layout["enums"].items():
        rows = [f"{c_string(key)}, {number(v['value'])}, {c_string(v['doc'])}" for key, v in values.items()]
        out += c_array("layout_value", f"layout_values_{name}", rows)
        enums.append(f"{c_string(name)}, layout_values_{name}, {len(rows)}")
    rows = [f"{c_string(n)}, {number(c['value'])}, {c_string(c['doc'])}" for n, c in layout["constants"].items()]
    out += c_array("layout_value", "layout_constants", rows)
    out += c_array("layout_struct", "layout_structs", structs)
    out += c_array("layout_word", "layout_words", words)
    out += c_array("layout_enum", "layout_enums", enums)
    out += [
        f"enum {{ LAYOUT_CONSTANT_COUNT = {len(rows)}, LAYOUT_STRUCT_COUNT = {len(structs)},"
        f" LAYOUT_WORD_COUNT = {len(words)}, LAYOUT_ENUM_COUNT = {len(enums)} }};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(out)


# ------------------------------------------------------------------- Markdown


def markdown(head, rows):
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells])


def table_bits(fields):
    rows = [(first if bits == 1 else f"{first}–{first + bits - 1}", bits, f"`{name}`", doc)
            for name, first, bits, doc in fields]
    return markdown(("Bits", "Width", "Name", "Meaning"), rows)


def table_struct(layout, name):
    rows = [(f["offset"], field_size(layout, f), f"`{f['name']}`", f["type"], f["writer"], f["guard"], f["doc"])
            for f in layout["structs"][name]["fields"]]
    head = ("Offset", "Size", "Name", "Type", "Written by", "Guarded by", "Meaning")
    title = f"*{name}*, {layout['structs'][name]['size']} bytes. {layout['structs'][name]['doc']}"
    return title + "\n\n" + markdown(head, rows)


def table_classes(layout):
    constants, classes = layout["constants"], layout["classes"]
    rows = []
    for index, size in enumerate(class_sizes(layout)[1:], 1):
        pages = classes["small_pages"] if index <= len(classes["small"]) else classes["medium_pages"]
        room = pages * constants["PAGE_SIZE"]["value"] - constants["RUN_HEADER_SIZE"]["value"]
        rows.append((index, size, pages, room // size))
    return markdown(("Class", "Cell size", "Pages of its slab", "Cells per slab"), rows)


def table_format(layout):
    data = layout["format"]["magic"].encode()
    rows = [("magic", "`" + " ".join(f"{b:02x}" for b in data) + "`"), ("revision", layout["format"]["revision"]),
            ("byte order", layout["format"]["byte_order"]), ("hash", layout["format"]["hash"])]
    return markdown(("What", "Value"), rows)


def table_features(layout):
    rows = [(d, f["bit"], f["name"], f["doc"]) for d, bits in layout["features"].items() for f in bits]
    return markdown(("Word", "Bit", "Name", "Meaning"), rows or [("–", "–", "–", "none is assigned")])


def region(layout, text):
    """The Markdown of one region, by the text after "layout:"."""
    match text.split():
        case ["format"]:
            return table_format(layout)
        case ["features"]:
            return table_features(layout)
        case ["constants"]:
            rows = [(f"`{n}`", c["value"], c["doc"]) for n, c in layout["constants"].items()]
            return markdown(("Name", "Value", "Meaning"), rows)
        case ["classes"]:
            return table_classes(layout)
        case ["hash"]:
            return table_bits(bit_fields(layout["hash_bits"]))
        case ["struct", name] if name in layout["structs"]:
            return table_struct(layout, name)
        case ["word", name] if name in layout["words"]:
            return f"*{name}.* {layout['words'][name]['doc']}\n\n" + table_bits(bit_fields(layout["words"][name]))
        case ["enum", name] if name in layout["enums"]:
            rows = [(v["value"], f"`{key}`", v["doc"]) for key, v in layout["enums"][name].items()]
            return f"*enum {name}*\n\n" + markdown(("Value", "Name", "Meaning"), rows)
    raise LayoutError(f"no table for region {text!r}")


REGION = re.compile(r"<!-- layout: ([^>]*?) -->\n(.*?)<!-- end -->\n", re.S)


def rewrite(layout, chapter):
    def fresh(match):
        return f"<!-- layout: {match.group(1)} -->\n\n{region(layout, match.group(1))}\n\n<!-- end -->\n"

    if chapter.count("<!-- layout: ") != len(REGION.findall(chapter)):
        raise LayoutError("a region has no end mark")
    return REGION.sub(fresh, chapter)


def missing_regions(layout, chapters):
    """What the layout holds and no chapter shows."""
    shown = {m.group(1) for text in chapters for m in REGION.finditer(text)}
    wanted = {"format", "features", "constants", "classes", "hash"}
    for kind in ("structs", "words", "enums"):
        wanted |= {f"{kind[:-1]} {name}" for name in layout[kind]}
    return sorted(wanted - shown)


# ------------------------------------------------------------------- commands


def write(path, text):
    if path == "-":
        sys.stdout.write(text)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def update_chapters(layout, paths):
    for path in paths:
        before = read(path)
        after = rewrite(layout, before)
        if after != before:
            write(path, after)
            print(f"{path}: updated")
    return 0


def check_chapters(layout, paths):
    status = 0
    texts = [read(path) for path in paths]
    for path, text in zip(paths, texts):
        if rewrite(layout, text) != text:
            print(f"{path}: tables differ from the layout; run tools/layout/generate.py --update-chapters",
                  file=sys.stderr)
            status = 1
    for text in missing_regions(layout, texts):
        print(f"no chapter shows: {text}", file=sys.stderr)
        status = 1
    return status


def main(argv):
    parser = argparse.ArgumentParser(description="Turn spec/layout.toml into what follows from it.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--c-header", metavar="OUT", help="write the C structs and constants")
    action.add_argument("--c-names", metavar="OUT", help="write the C table of names")
    action.add_argument("--table", metavar="REGION", help="print one Markdown table")
    action.add_argument("--update-chapters", action="store_true", help="rewrite the tables of the chapters")
    action.add_argument("--check-chapters", action="store_true", help="compare the tables of the chapters")
    parser.add_argument("layout", help="spec/layout.toml")
    parser.add_argument("chapters", nargs="*", help="Markdown files")
    args = parser.parse_args(argv)
    try:
        layout = load(args.layout)
        if args.c_header:
            write(args.c_header, c_header(layout))
        elif args.c_names:
            write(args.c_names, c_names(layout))
        elif args.table:
            print(region(layout, args.table))
        elif args.update_chapters:
            return update_chapters(layout, args.chapters)
        else:
            return check_chapters(layout, args.chapters)
    except (LayoutError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
