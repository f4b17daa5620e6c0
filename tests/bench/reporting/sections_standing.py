"""Work on stores that were filled before: gets and overwrites, batches, hot keys, large values."""

import cells
import chart
from results import figure

SECTIONS = ("rates", "latencies", "zipf", "value_sizes", "many", "huge", "hot", "hot_read", "large")

RATE = "million operations per second"


def _numbers_of_keys(page):
    return page.results.values("keys", "mix", value_size=32)


def _rate_rows(page, results, label):
    return [[label(r)] + [cells.rate(r, s) for s in page.stores] for r in results]


def rates(page):
    """A chart and a table for each number of keys."""
    return "\n\n".join(_rates_of(page, keys) for keys in _numbers_of_keys(page))


def _rates_of(page, keys):
    found = page.results.find("mix", keys=keys, value_size=32, zipf=0)
    found.sort(key=lambda r: (r["processes"], -r["read_percent"]))
    rows = _rate_rows(page, found, lambda r: "%d %% get, %s" % (r["read_percent"], cells.processes(r["processes"])))
    shown = [r for r in found if r["read_percent"] in (0, 95, 100)]
    name = "%s keys" % cells.keys(keys)
    svg = chart.bars(
        name + ", values of 32 bytes",
        RATE + "; share of gets, processes",
        ["%d %%, %dp" % (r["read_percent"], r["processes"]) for r in shown],
        page.series(shown, "mops"),
    )
    picture = page.chart("mix-%d" % keys, "Rates with " + name, svg)
    return "### %s\n\n%s\n\n%s" % (name, picture, cells.table(["M/s"] + page.stores, rows))


def latencies(page):
    parts = []
    for keys in _numbers_of_keys(page):
        for r in page.results.find("mix", keys=keys, value_size=32, read_percent=95, processes=2, zipf=0):
            parts.append(_latencies_of(page, keys, r))
    return "\n\n".join(parts)


def _latencies_of(page, keys, r):
    names, stores = ["p50_ns", "p99_ns", "p999_ns", "max_ns"], page.taking_part(r)
    rows = [[s] + [cells.time(figure(r, s, name)) for name in names] for s in stores]
    name = "%s keys" % cells.keys(keys)
    svg = chart.bars(
        "Latency, %s, 95 %% get, 2 processes" % name,
        "nanoseconds",
        ["p50", "p99", "p99.9"],
        {s: [figure(r, s, n) for n in names[:3]] for s in stores},
        logarithmic=True,
    )
    picture = page.chart("latency-%d" % keys, "Latency with " + name, svg)
    return "%s\n\n%s" % (picture, cells.table([name, "p50", "p99", "p99.9", "max of samples"], rows))


def zipf(page):
    found = page.results.find("mix", value_size=32, read_percent=95)
    found.sort(key=lambda r: (r["keys"], r["processes"], r["zipf"]))
    kind = {True: "zipf", False: "uniform"}
    rows = _rate_rows(
        page,
        found,
        lambda r: "%s keys, %s, %s" % (cells.keys(r["keys"]), cells.processes(r["processes"]), kind[r["zipf"] > 0]),
    )
    alone = [r for r in found if r["processes"] == 1]
    groups = ["%s %s" % (cells.keys(r["keys"]), kind[r["zipf"] > 0]) for r in alone]
    svg = chart.bars("Popular keys: 95 % get, 1 process", RATE, groups, page.series(alone, "mops"))
    return "%s\n\n%s" % (page.chart("zipf", "Uniform and zipf", svg), cells.table(["M/s"] + page.stores, rows))


def value_sizes(page):
    """For each number of keys of which several sizes were measured."""
    parts = []
    for keys in page.results.values("keys", "mix"):
        found = page.results.find("mix", keys=keys, read_percent=95, processes=1, zipf=0)
        found.sort(key=lambda r: r["value_size"])
        if len(found) < 2:
            continue
        sizes = ["%d B" % r["value_size"] for r in found]
        name = "%s keys" % cells.keys(keys)
        svg = chart.lines("Value size, %s, 95 %% get" % name, RATE, sizes, page.series(found, "mops"))
        rows = _rate_rows(page, found, lambda r: "%d bytes" % r["value_size"])
        picture = page.chart("values-%d" % keys, "Rates by value size, " + name, svg)
        parts.append("%s\n\n%s" % (picture, cells.table([name + ", M/s"] + page.stores, rows)))
    return "\n\n".join(parts) or "Only one size was measured in this setting."


def _by_keys_and_processes(page, found, name, title):
    rows = _rate_rows(page, found, lambda r: "%s keys, %s" % (cells.keys(r["keys"]), cells.processes(r["processes"])))
    groups = ["%s, %dp" % (cells.keys(r["keys"]), r["processes"]) for r in found]
    svg = chart.bars(title, RATE, groups, page.series(found, "mops"))
    return "%s\n\n%s" % (page.chart(name, title, svg), cells.table(["M/s"] + page.stores, rows))


def many(page):
    found = page.results.find("many", value_size=32, zipf=0)
    return _by_keys_and_processes(page, found, "many", "Gets in batches")


def huge(page):
    """Gets, puts and batches of one process with huge pages, without, and of the flat table."""
    results = page.results.aside("huge")
    found = [(r, "%d %% get" % r["read_percent"]) for r in results.find("mix")]
    found += [(r, "gets in batches") for r in results.find("many")]
    if not found:
        return "Not measured."
    found.sort(key=lambda pair: pair[0]["keys"])
    stores = results.stores()
    rows = [
        ["%s keys, %s" % (cells.keys(r["keys"]), what)]
        + ["%.3g (%s)" % (figure(r, s, "mops"), cells.ratio(figure(r, s, "mops") / figure(r, "flat", "mops"))) for s in stores]
        for r, what in found
    ]
    groups = ["%s %s" % (cells.keys(r["keys"]), what) for r, what in found]
    svg = chart.bars("Huge pages", RATE, groups, page.series([r for r, _ in found], "mops", stores))
    return "%s\n\n%s" % (page.chart("huge", "With huge pages and without", svg), cells.table(["M/s"] + stores, rows))


def hot(page):
    found = page.results.find("hot", value_size=32)
    return _by_keys_and_processes(page, found, "hot", "All processes overwrite one key")


def hot_read(page):
    found = page.results.find("hot-read", value_size=32)
    title = "One key, overwritten by one process: the readers' rate"
    readers = _by_keys_and_processes(page, found, "hot-read", title)
    rows = [
        [cells.processes(r["processes"])] + ["%.3g" % (figure(r, s, "writer_mops") or 0) for s in page.stores]
        for r in found
    ]
    return readers + "\n\nThe writer beside them:\n\n" + cells.table(["M/s"] + page.stores, rows)


def large(page):
    """As bytes per second, against memcpy."""
    results = page.results.aside("large")
    found = results.find("mix", read_percent=100)
    if not found:
        return "Not measured."

    def speed(r, store):
        return figure(r, store, "mops") * r["value_size"] / 1e3  # GB/s

    stores = results.stores()
    rows = [
        [cells.processes(r["processes"])]
        + ["%.3g (%s)" % (speed(r, s), cells.ratio(1 if s == "shmkv" else figure(r, s, "shmkv_ratio"))) for s in stores]
        for r in found
    ]
    groups = ["%dp" % r["processes"] for r in found]
    series = {s: [speed(r, s) for r in found] for s in stores}
    svg = chart.bars("Gets of 64 KiB", "GB per second; array: memcpy alone", groups, series)
    return "%s\n\n%s" % (page.chart("large", "Gets of 64 KiB", svg), cells.table(["GB/s"] + stores, rows))
