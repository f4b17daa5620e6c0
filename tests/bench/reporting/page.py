"""Tables and charts of docs/performance.md, from the results. The words around them are in performance.md.in."""

import collections

import chart
from results import figure

LANGUAGES = ("perl", "python", "ruby")


def _short(x):
    """Three digits and a suffix: 87, 1.2k, 3.41M."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= factor:
            return "%.3g%s" % (x / factor, suffix)
    return "%.3g" % x


def _keys(n):
    return {10**4: "10⁴", 10**5: "10⁵", 10**6: "10⁶", 10**7: "10⁷"}.get(n) or "%d" % n


def _time(ns):
    if ns is None:
        return "–"
    for factor, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= factor:
            return "%.3g %s" % (ns / factor, unit)
    return "%.3g ns" % ns


def _table(headings, rows):
    """In Markdown. The first column is text, the others numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _rate(result, store):
    """"4.53 (2.1×)": its rate, and how many times it ours is."""
    rate, ratio = figure(result, store, "mops"), figure(result, store, "shmkv_ratio")
    if rate is None:
        return "–"
    return "%.3g" % rate + ("" if ratio is None else " (%.2g×)" % ratio if ratio < 100 else " (%.0f×)" % ratio)


class Page:
    """Every method without an underscore makes what the template asks for by that name: text in Markdown. Charts
    go to @c charts, {file name: SVG}."""

    def __init__(self, results, facts, failed):
        self.results, self.facts, self.failed = results, facts, failed
        self.stores = [name for name in results.stores() if name != "array"]
        self.charts = {}

    def _chart(self, name, alt, svg):
        self.charts[name + ".svg"] = svg
        return "![%s](performance/%s.svg)" % (alt, name)

    def _series(self, results, figure_name, stores=None):
        """{store: figures}, for a chart, of the stores that have any."""
        series = {s: [figure(r, s, figure_name) for r in results] for s in stores or self.stores}
        return {s: values for s, values in series.items() if any(v is not None for v in values)}

    # ------------------------------------------------------------------ the run

    def machine(self):
        m = self.facts["machine"]
        rows = [
            ("Processor", "%s, %d processors" % (m["processor"], m["processors"])),
            ("Memory", "%.0f GiB; huge pages for shared memory: %s" % (m["memory_gib"], m["huge_pages"])),
            ("System", "Linux %s" % m["kernel"]),
            ("Compiler", m["compiler"]),
            ("Languages", self._languages_versions()),
            ("shmkv", "%s, commit %s" % (self.facts["shmkv"], self.facts["commit"])),
            ("Measured", "%s, %s setting, %.0f minutes" % (self.facts["date"], self.facts["setting"], self._minutes())),
        ]
        return _table(("", ""), rows).replace("---:", "---")

    def _minutes(self):
        return sum(record["seconds"] for record in self.results.records) / 60

    def _languages_versions(self):
        versions = [record["output"]["language"] for record in self.results.records if "language" in record["output"]]
        return ", ".join(versions) or "–"

    def command(self):
        return self.facts["command"]

    def quality(self):
        """How far the numbers can be trusted, from the run itself."""
        lines = []
        spreads = sorted(
            figure(r, "flat", "highest_mops") / figure(r, "flat", "lowest_mops")
            for r in self.results.find("mix", processes=1)
            if figure(r, "flat", "lowest_mops"))
        if spreads:
            middle = spreads[len(spreads) // 2]
            lines.append("The flat table's own rate, with one process, differed by a factor of %.2g between the slowest and the "
                         "fastest round (median over the settings)." % middle)
        if self.facts["load"] > 0.3 * self.facts["machine"]["processors"]:
            lines.append("**The machine was busy with other work (load %.1f on %d processors): the ratios are worth something, "
                         "the absolute numbers and all maxima are not.**" % (self.facts["load"], self.facts["machine"]["processors"]))
        return "\n".join(lines)

    def left_out(self):
        lines = ["- %s: not installed (%s)" % item for item in self.results.skipped().items()]
        for r in self.results.find("left-out"):
            lines.append("- %s keys with values of %d bytes: would need %.0f GB in all stores, and there were %.0f GB" % (
                _keys(r["keys"]), r["value_size"], r["needs_bytes"] / 1e9, r["free_bytes"] / 1e9))
        lines += ["- step %s: %s" % item for item in self.failed.items()]
        return "\n".join(lines) or "Nothing."

    # --------------------------------------------------------- gets and overwrites

    def _datasets(self):
        return sorted({(r["keys"], r["value_size"]) for r in self.results.find("mix") if r["step"] != "large"})

    def rates(self):
        """A table and a chart for each number of keys, values of 32 bytes, all keys alike."""
        parts = []
        for keys, value_size in self._datasets():
            if value_size == 32:
                parts.append(self._rates_of(keys, value_size))
        return "\n\n".join(parts)

    def _rates_of(self, keys, value_size):
        found = self.results.find("mix", keys=keys, value_size=value_size, zipf=0)
        found = sorted((r for r in found if r["step"] != "large"), key=lambda r: (r["processes"], -r["read_percent"]))
        rows = [["%d %% get, %d process%s" % (r["read_percent"], r["processes"], "" if r["processes"] == 1 else "es")]
                + [_rate(r, s) for s in self.stores] for r in found]
        shown = [r for r in found if r["read_percent"] in (0, 95, 100)]
        groups = ["%d %%, %dp" % (r["read_percent"], r["processes"]) for r in shown]
        svg = chart.bars("%s keys, values of %d bytes" % (_keys(keys), value_size),
                         "million operations per second; share of gets, processes", groups, self._series(shown, "mops"))
        return "### %s keys\n\n%s\n\n%s" % (
            _keys(keys), self._chart("mix-%d" % keys, "Rates with %s keys" % _keys(keys), svg), _table(["M/s"] + self.stores, rows))

    def latencies(self):
        """95 % gets, two processes, for each number of keys."""
        parts = []
        for keys, value_size in self._datasets():
            r = self.results.first("mix", keys=keys, value_size=value_size, read_percent=95, processes=2, zipf=0)
            if value_size == 32 and r:
                names = ["p50_ns", "p99_ns", "p999_ns", "max_ns"]
                rows = [[s] + [_time(figure(r, s, name)) for name in names] for s in self.stores if s in r["stores"]]
                svg = chart.bars("Latency, %s keys, 95 %% get, 2 processes" % _keys(keys), "nanoseconds",
                                 ["p50", "p99", "p99.9"],
                                 {s: [figure(r, s, n) for n in names[:3]] for s in self.stores if s in r["stores"]}, True)
                parts.append("%s\n\n%s" % (
                    self._chart("latency-%d" % keys, "Latency with %s keys" % _keys(keys), svg),
                    _table(["%s keys" % _keys(keys), "p50", "p99", "p99.9", "max of samples"], rows)))
        return "\n\n".join(parts)

    def zipf(self):
        """Popular keys: 95 % gets, values of 32 bytes."""
        rows = []
        for keys in self.results.values("keys", "mix", value_size=32):
            for processes in self.results.values("processes", "mix", value_size=32):
                for theta in (0, 0.99):
                    r = self.results.first("mix", keys=keys, value_size=32, read_percent=95, processes=processes, zipf=theta)
                    if r:
                        rows.append(["%s keys, %d processes, %s" % (_keys(keys), processes, "zipf" if theta else "uniform")]
                                    + [_rate(r, s) for s in self.stores])
        found = [self.results.first("mix", keys=k, value_size=32, read_percent=95, processes=1, zipf=z)
                 for k in self.results.values("keys", "mix", value_size=32) for z in (0, 0.99)]
        found = [r for r in found if r]
        svg = chart.bars("Popular keys: 95 % get, 1 process", "million operations per second",
                         ["%s %s" % (_keys(r["keys"]), "zipf" if r["zipf"] else "uniform") for r in found], self._series(found, "mops"))
        return "%s\n\n%s" % (self._chart("zipf", "Uniform and zipf", svg), _table(["M/s"] + self.stores, rows))

    def value_sizes(self):
        """95 % gets, one process, by value size, for each number of keys that has several."""
        parts = []
        for keys in self.results.values("keys", "mix"):
            found = [r for r in self.results.find("mix", keys=keys, read_percent=95, processes=1, zipf=0)]
            found.sort(key=lambda r: r["value_size"])
            if len(found) < 2:
                continue
            rows = [["%d bytes" % r["value_size"]] + [_rate(r, s) for s in self.stores] for r in found]
            svg = chart.lines("Value size, %s keys, 95 %% get" % _keys(keys), "million operations per second",
                              ["%d B" % r["value_size"] for r in found], self._series(found, "mops"))
            parts.append("%s\n\n%s" % (self._chart("values-%d" % keys, "Rates by value size", svg),
                                       _table(["%s keys, M/s" % _keys(keys)] + self.stores, rows)))
        return "\n\n".join(parts) or "Only one size was measured in this setting."

    # -------------------------------------------------------------- other standing work

    def _by_keys_and_processes(self, work, name, title, **parameters):
        found = [r for r in self.results.find(work, value_size=32, **parameters)]
        rows = [["%s keys, %d processes" % (_keys(r["keys"]), r["processes"])] + [_rate(r, s) for s in self.stores] for r in found]
        svg = chart.bars(title, "million operations per second", ["%s, %dp" % (_keys(r["keys"]), r["processes"]) for r in found],
                         self._series(found, "mops"))
        return "%s\n\n%s" % (self._chart(name, title, svg), _table(["M/s"] + self.stores, rows))

    def many(self):
        return self._by_keys_and_processes("many", "many", "Gets in batches of 64", zipf=0)

    def hot(self):
        return self._by_keys_and_processes("hot", "hot", "All processes overwrite one key")

    def hot_read(self):
        text = self._by_keys_and_processes("hot-read", "hot-read", "One key, overwritten by one process: the readers' rate")
        rows = [["%d processes" % r["processes"]] + ["%.3g" % (figure(r, s, "writer_mops") or 0) for s in self.stores]
                for r in self.results.find("hot-read", value_size=32)]
        return text + "\n\nThe writer beside them:\n\n" + _table(["M/s"] + self.stores, rows)

    def large(self):
        """64 KiB gets as bytes per second, against memcpy."""
        found = [r for r in self.results.find("mix", read_percent=100) if r["step"] == "large"]
        stores = [s for s in self.results.stores() if found and s in found[0]["stores"]]
        if not found:
            return "Not measured."
        rows = [["%d process%s" % (r["processes"], "" if r["processes"] == 1 else "es")]
                + ["%.3g (%.2g×)" % (figure(r, s, "mops") * r["value_size"] / 1e3, figure(r, s, "shmkv_ratio") or 1) for s in stores] for r in found]
        series = {s: [figure(r, s, "mops") * r["value_size"] / 1e3 for r in found] for s in stores}
        svg = chart.bars("Gets of 64 KiB", "GB per second; array: memcpy alone", ["%dp" % r["processes"] for r in found], series)
        return "%s\n\n%s" % (self._chart("large", "Gets of 64 KiB", svg), _table(["GB/s"] + stores, rows))

    # -------------------------------------------------------------------- life of a store

    def growth(self):
        found = sorted(self.results.find("growth-put"), key=lambda r: r["up_to_keys"])
        if not found:
            return "Not measured."
        stores = [s for s in self.stores if s in found[0]["stores"]]
        points = [_short(r["up_to_keys"]) for r in found]
        parts = []
        for name, heading in (("p9999_ns", "p99.99"), ("least_max_ns", "smallest maximum of the rounds"), ("max_ns", "maximum")):
            svg = chart.lines("Longest puts while growing: " + heading, "nanoseconds, by the number of keys so far", points, self._series(found, name, stores))
            parts.append(self._chart("growth-" + name.partition("_ns")[0], "Puts while growing: " + heading, svg))
            rows = [["up to %s keys" % point] + [_time(figure(r, s, name)) for s in stores] for point, r in zip(points, found)]
            parts.append(_table(["put, " + heading] + stores, rows))
        total = self.results.first("growth")
        parts.append(_table(["puts, M/s"] + stores, [["from empty to %s" % _keys(total["keys"])] + [_rate(total, s) for s in stores]]))
        return "\n\n".join(parts)

    def growth_reader(self):
        r = self.results.first("growth-get")
        if not r:
            return "Not measured."
        names = ["p50_ns", "p99_ns", "p9999_ns", "least_max_ns", "max_ns"]
        stores = [s for s in self.stores if s in r["stores"]]
        rows = [[s] + [_time(figure(r, s, name)) for name in names] for s in stores]
        svg = chart.bars("Gets beside the growing", "nanoseconds", ["p50", "p99", "p99.99", "least max", "max"],
                         {s: [figure(r, s, name) for name in names] for s in stores}, True)
        return "%s\n\n%s" % (self._chart("growth-get", "Gets beside the growing", svg),
                             _table(["get", "p50", "p99", "p99.99", "smallest maximum of the rounds", "maximum"], rows))

    def opening(self):
        r = self.results.first("open")
        if not r:
            return "Not measured."
        names = ["open_ns", "open_max_ns", "first_get_ns", "first_put_ns"]
        stores = [s for s in self.stores if s in r["stores"]]
        rows = [[s] + [_time(figure(r, s, name)) for name in names] for s in stores]
        svg = chart.bars("A new process attaches, %s keys" % _keys(r["keys"]), "nanoseconds", ["open", "first get", "first put"],
                         {s: [figure(r, s, n) for n in ("open_ns", "first_get_ns", "first_put_ns")] for s in stores}, True)
        return "%s\n\n%s" % (self._chart("open", "Opening", svg),
                             _table(["%s keys" % _keys(r["keys"]), "open", "longest", "first get", "first put"], rows))

    def memory(self):
        found = [r for r in self.results.find("fill") if r["step"] != "large" and r["keys"] == 10**6]
        found.sort(key=lambda r: r["value_size"])
        if not found:
            return "Not measured."
        rows = [["16+%d bytes" % r["value_size"]] + ["%.4g" % (figure(r, s, "bytes_per_entry") or 0) for s in self.stores] for r in found]
        svg = chart.bars("Memory with 10⁶ keys", "bytes of the file for each entry", ["16+%d" % r["value_size"] for r in found],
                         self._series(found, "bytes_per_entry"), len(found) > 1)
        return "%s\n\n%s" % (self._chart("memory", "Bytes per entry", svg), _table(["bytes per entry"] + self.stores, rows))

    def refill(self):
        r = self.results.first("refill")
        if not r:
            return "Not measured."
        stores = [s for s in self.stores if s in r["stores"]]
        rows = [[s, _short(figure(r, s, "first_bytes")), _short(figure(r, s, "last_bytes")), _short(figure(r, s, "largest_fresh_bytes")),
                 "%.1f %%" % figure(r, s, "grown_percent"), "%.1f %%" % figure(r, s, "lost_percent")] for s in stores]
        svg = chart.bars("Deleted and refilled with other sizes, ten times", "bytes of the file",
                         ["after the first fill", "after ten refills", "largest new file"],
                         {s: [figure(r, s, n) for n in ("first_bytes", "last_bytes", "largest_fresh_bytes")] for s in stores})
        return "%s\n\n%s" % (self._chart("refill", "Delete and refill", svg),
                             _table(["bytes", "after the first fill", "after ten refills", "largest new file", "grown", "beyond the largest new file"], rows))

    # ------------------------------------------------------------------------- languages

    def _language(self, work):
        get, put = self.results.first(work, operation="get"), self.results.first(work, operation="overwrite")
        if not get or not put:
            return "Not measured."
        rows = []
        for s in sorted(get["stores"], key=lambda s: figure(get, s, "ns")):
            cells = [s]
            for r in (get, put):
                cells += ["%.4g" % figure(r, s, "ns"), "%.3g×" % figure(r, s, "hash_ratio"), "%.3g×" % figure(r, s, "shmkv_ratio")]
            rows.append(cells)
        series = collections.OrderedDict((row[0], [figure(get, row[0], "ns"), figure(put, row[0], "ns")]) for row in rows)
        svg = chart.bars("%s, 5,000 keys" % work.capitalize(), "nanoseconds for one operation", ["get", "overwrite"], series, True)
        return "%s\n\n%s" % (self._chart(work, "%s: get and overwrite" % work.capitalize(), svg),
                             _table(["", "get, ns", "to the hash", "to shmkv", "overwrite, ns", "to the hash", "to shmkv"], rows))

    def perl(self):
        return self._language("perl")

    def python(self):
        return self._language("python")

    def ruby(self):
        return self._language("ruby")
