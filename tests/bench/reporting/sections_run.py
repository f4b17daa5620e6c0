"""Facts of the run: on what, how well, and what was left out."""

import cells
from results import figure

SECTIONS = ("machine", "command", "quality", "left_out")

# Programs that want a processor, for each there is, from which on a machine counts as busy.
BUSY = 0.3


def machine(page):
    facts, m = page.facts, page.facts["machine"]
    minutes = sum(record["seconds"] for record in page.results.records) / 60
    languages = [record["output"]["language"] for record in page.results.records if "language" in record["output"]]
    rows = [
        ("Processor", "%s, %d processors" % (m["processor"], m["processors"])),
        ("Memory", "%.0f GiB; huge pages for shared memory: %s" % (m["memory_gib"], m["huge_pages"])),
        ("System", "Linux %s" % m["kernel"]),
        ("Compiler", m["compiler"]),
        ("Languages", ", ".join(languages) or "–"),
        ("shmkv", "%s, commit %s" % (facts["shmkv"], facts["commit"])),
        ("Measured", "%s, %s setting, %.0f minutes" % (facts["date"], facts["setting"], minutes)),
    ]
    return cells.table(("", ""), rows).replace("---:", "---")


def command(page):
    return page.facts["command"]


def quality(page):
    """How far the numbers can be trusted, from the run itself."""
    lines = []
    spreads = sorted(
        figure(r, "flat", "highest_mops") / figure(r, "flat", "lowest_mops")
        for r in page.results.find("mix", processes=1)
        if figure(r, "flat", "lowest_mops")
    )
    if spreads:
        lines.append(
            "The flat table's own rate, with one process, differed by a factor of %.2g between the slowest\n"
            "and the fastest round (median over the settings)." % spreads[len(spreads) // 2]
        )
    load, processors = page.facts["load"], page.facts["machine"]["processors"]
    if load > BUSY * processors:
        lines.append(
            "**The machine was busy with other work (load %.1f on %d processors): the ratios are worth\n"
            "something, the absolute numbers and all maxima are not.**" % (load, processors)
        )
    return "\n".join(lines)


def left_out(page):
    lines = ["- %s: not installed (%s)" % item for item in page.results.skipped().items()]
    for r in page.results.find("left-out"):
        size, needs, free = r["value_size"], r["needs_bytes"] / 1e9, r["free_bytes"] / 1e9
        lines.append(
            "- %s keys with values of %d bytes: all stores together need %.0f GB, and %.0f GB were free"
            % (cells.keys(r["keys"]), size, needs, free)
        )
    lines += ["- step %s: %s" % item for item in page.failed.items()]
    return "\n".join(lines) or "Nothing."
