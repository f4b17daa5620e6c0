"""Each language: its own hash, shmkv, and what else it has."""

import cells
import chart
from results import figure

SECTIONS = ("perl", "python", "ruby")

HEADINGS = ["", "get, ns", "to the hash", "to shmkv", "overwrite, ns", "to the hash", "to shmkv"]


def _language(page, work):
    get, put = page.results.first(work, operation="get"), page.results.first(work, operation="overwrite")
    if not get or not put:
        return "Not measured."
    stores = sorted(get["stores"], key=lambda s: figure(get, s, "ns"))
    rows = [[s] + _cells(get, s) + _cells(put, s) for s in stores]
    svg = chart.bars(
        "%s, 5,000 keys" % work.capitalize(),
        "nanoseconds for one operation",
        ["get", "overwrite"],
        {s: [figure(get, s, "ns"), figure(put, s, "ns")] for s in stores},
        logarithmic=True,
    )
    picture = page.chart(work, "%s: get and overwrite" % work.capitalize(), svg)
    return "%s\n\n%s" % (picture, cells.table(HEADINGS, rows))


def _cells(r, store):
    ratios = [cells.ratio(figure(r, store, name)) for name in ("hash_ratio", "shmkv_ratio")]
    return ["%.4g" % figure(r, store, "ns")] + ratios


def perl(page):
    return _language(page, "perl")


def python(page):
    return _language(page, "python")


def ruby(page):
    return _language(page, "ruby")
