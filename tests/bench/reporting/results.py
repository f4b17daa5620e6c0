"""The results of all steps, to be asked for by what was measured."""

# Steps with a question and with stores of their own, by the first part of their names. The usual tables
# do not have them.
ASIDE = ("large", "huge")


def _topic(record):
    return record["step"].split("-")[0]


class Results:
    """A list of the "results" that the programs printed, each a dict with "work", parameters and "stores"."""

    def __init__(self, records, without=ASIDE):
        self.records = records
        self.all = [r for record in records if _topic(record) not in without for r in record["output"]["results"]]

    def aside(self, topic):
        """Those of the steps of one topic."""
        return Results([record for record in self.records if _topic(record) == topic], without=())

    def find(self, work, **parameters):
        """Those of the work with these parameters, in the order in which they were measured."""
        return [r for r in self.all if r["work"] == work and all(r.get(name) == value for name, value in parameters.items())]

    def first(self, work, **parameters):
        found = self.find(work, **parameters)
        return found[0] if found else None

    def values(self, parameter, work, **parameters):
        """The different values that a parameter has among those."""
        return sorted({r[parameter] for r in self.find(work, **parameters) if parameter in r})

    def stores(self):
        """Every store of the driver that took part, in its order."""
        names = {}
        for r in self.all:
            if r["work"] not in ("perl", "python", "ruby"):
                names.update(dict.fromkeys(r["stores"]))
        return list(names)

    def skipped(self):
        """{store: package} of what was not installed."""
        return {name: package for record in self.records for name, package in record["output"]["skipped"].items()}


def figure(result, store, name):
    """None if the store did not take part, or that is not known."""
    return result["stores"].get(store, {}).get(name) if result else None
