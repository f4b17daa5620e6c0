"""docs/performance.md: performance.md.in with {{name}} replaced by what the section of that name gives.

A section is a function of the page that gives Markdown and may leave charts with it. They are in sections_*.py.
"""

import re

import sections_growing
import sections_languages
import sections_run
import sections_standing
from results import figure

_MODULES = (sections_run, sections_standing, sections_growing, sections_languages)


class Page:
    def __init__(self, results, facts, failed):
        self.results = results
        self.facts = facts  # of the run
        self.failed = failed  # {step: why}
        self.stores = results.stores()
        self.charts = {}  # {file name: SVG}

    def text(self, template):
        """An unknown name is an error."""
        return re.sub(r"\{\{(\w+)\}\}", lambda match: self._section(match.group(1)), template)

    def _section(self, name):
        for module in _MODULES:
            if name in module.SECTIONS:
                return getattr(module, name)(self)
        raise KeyError("the template asks for %s, which no section gives" % name)

    def chart(self, name, alt, svg):
        """Keeps the chart and gives the Markdown that shows it."""
        self.charts[name + ".svg"] = svg
        return "![%s](performance/%s.svg)" % (alt, name)

    def series(self, results, figure_name, stores=None):
        """{store: figures}, for a chart, of the stores that have any."""
        series = {s: [figure(r, s, figure_name) for r in results] for s in stores or self.stores}
        return {s: values for s, values in series.items() if any(v is not None for v in values)}

    def taking_part(self, result):
        return [s for s in self.stores if s in result["stores"]]
