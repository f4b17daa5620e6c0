"""Numbers as people read them, and tables in Markdown."""

from results import figure


def short(x):
    """Three digits and a suffix: 87, 1.2k, 3.41M."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= factor:
            return "%.3g%s" % (x / factor, suffix)
    return "%.3g" % x


def keys(n):
    return {10**4: "10⁴", 10**5: "10⁵", 10**6: "10⁶", 10**7: "10⁷"}.get(n) or "%d" % n


def time(ns):
    if ns is None:
        return "–"
    for factor, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= factor:
            return "%.3g %s" % (ns / factor, unit)
    return "%.3g ns" % ns


def ratio(x):
    return "–" if x is None else "%.2g×" % x if x < 100 else "%.0f×" % x


def rate(result, store):
    """"4.53 (2.1×)": its rate, and how many times it ours is."""
    mops, times = figure(result, store, "mops"), figure(result, store, "shmkv_ratio")
    if mops is None:
        return "–"
    return "%.3g" % mops + ("" if times is None else " (%s)" % ratio(times))


def processes(n):
    return "%d process%s" % (n, "" if n == 1 else "es")


def table(headings, rows):
    """The first column is text, the others numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
