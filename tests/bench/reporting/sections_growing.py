"""The life of a store: growing, being opened, what it takes of memory and what it gives back."""

import cells
import chart
from results import figure

SECTIONS = ("growth", "growth_reader", "huge_growth", "opening", "memory", "refill")

# Of the latencies of a growing store.
LONGEST = (
    ("p9999_ns", "p99.99"),
    ("least_max_ns", "smallest maximum of the rounds"),
    ("max_ns", "maximum"),
)


def growth(page):
    found = sorted(page.results.find("growth-put"), key=lambda r: r["up_to_keys"])
    total = page.results.first("growth")
    if not found or not total:
        return "Not measured."
    stores = page.taking_part(found[0])
    points = [cells.short(r["up_to_keys"]) for r in found]
    parts = []
    for name, heading in LONGEST:
        svg = chart.lines(
            "Puts while growing: " + heading,
            "nanoseconds, by the number of keys so far",
            points,
            page.series(found, name, stores),
        )
        parts.append(page.chart("growth-" + name[: -len("_ns")], "Puts while growing: " + heading, svg))
        rows = [
            ["up to %s keys" % point] + [cells.time(figure(r, s, name)) for s in stores]
            for point, r in zip(points, found)
        ]
        parts.append(cells.table(["put, " + heading] + stores, rows))
    rows = [["from empty to %s keys" % cells.keys(total["keys"])] + [cells.rate(total, s) for s in stores]]
    parts.append(cells.table(["puts, M/s"] + stores, rows))
    return "\n\n".join(parts)


def growth_reader(page):
    r = page.results.first("growth-get")
    if not r:
        return "Not measured."
    names = ["p50_ns", "p99_ns"] + [name for name, _ in LONGEST]
    headings = ["p50", "p99"] + [heading for _, heading in LONGEST]
    stores = page.taking_part(r)
    rows = [[s] + [cells.time(figure(r, s, name)) for name in names] for s in stores]
    svg = chart.bars(
        "Gets beside the growing",
        "nanoseconds",
        ["p50", "p99", "p99.99", "least max", "max"],
        {s: [figure(r, s, name) for name in names] for s in stores},
        logarithmic=True,
    )
    picture = page.chart("growth-get", "Gets beside the growing", svg)
    return "%s\n\n%s" % (picture, cells.table(["get"] + headings, rows))


def huge_growth(page):
    found = sorted(page.results.aside("huge").find("growth-put"), key=lambda r: r["up_to_keys"])
    if not found:
        return "Not measured."
    stores = list(found[0]["stores"])
    rows = [
        ["up to %s keys, %s" % (cells.short(r["up_to_keys"]), heading)] + [cells.time(figure(r, s, name)) for s in stores]
        for r in found
        for name, heading in LONGEST
    ]
    return cells.table(["put"] + stores, rows)


def opening(page):
    r = page.results.first("open")
    if not r:
        return "Not measured."
    names, stores = ["open_ns", "first_get_ns", "first_put_ns"], page.taking_part(r)
    rows = [[s] + [cells.time(figure(r, s, name)) for name in names + ["open_max_ns"]] for s in stores]
    svg = chart.bars(
        "A new process attaches, %s keys" % cells.keys(r["keys"]),
        "nanoseconds",
        ["open", "first get", "first put"],
        {s: [figure(r, s, name) for name in names] for s in stores},
        logarithmic=True,
    )
    headings = ["%s keys" % cells.keys(r["keys"]), "open", "first get", "first put", "longest open"]
    return "%s\n\n%s" % (page.chart("open", "Opening", svg), cells.table(headings, rows))


def memory(page):
    found = sorted(page.results.find("fill", keys=10**6), key=lambda r: r["value_size"])
    if not found:
        return "Not measured."
    entries = ["16+%d" % r["value_size"] for r in found]
    rows = [
        [entry + " bytes"] + ["%.4g" % (figure(r, s, "bytes_per_entry") or 0) for s in page.stores]
        for entry, r in zip(entries, found)
    ]
    series = page.series(found, "bytes_per_entry")
    svg = chart.bars("Memory with 10⁶ keys", "bytes of the file for each entry", entries, series, len(found) > 1)
    table = cells.table(["bytes per entry"] + page.stores, rows)
    return "%s\n\n%s" % (page.chart("memory", "Bytes per entry", svg), table)


def refill(page):
    r = page.results.first("refill")
    if not r:
        return "Not measured."
    names = ["first_bytes", "last_bytes", "largest_fresh_bytes"]
    headings = ["after the first fill", "after ten refills", "largest new file"]
    stores = page.taking_part(r)
    rows = [
        [s]
        + [cells.short(figure(r, s, name)) for name in names]
        + ["%.1f %%" % figure(r, s, name) for name in ("grown_percent", "lost_percent")]
        for s in stores
    ]
    svg = chart.bars(
        "Deleted and refilled with other sizes, ten times",
        "bytes of the file",
        headings,
        {s: [figure(r, s, name) for name in names] for s in stores},
    )
    table = cells.table(["bytes"] + headings + ["grown", "beyond the largest new file"], rows)
    return "%s\n\n%s" % (page.chart("refill", "Delete and refill", svg), table)
