"""Charts as SVG, without any library: bars in groups, and lines over a logarithmic axis.

They have a background of their own, so that they can be read on a dark page too.
"""

import html
import math

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 46, 52  # margins; the legend is on the right
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

# The colours tell apart for people who do not see all of them (Okabe and Ito). A store has the same in every
# chart; others have what is left.
COLOURS = ["#0072b2", "#999999", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b8a800"]
KNOWN = ("shmkv", "flat", "mutex", "lmdb", "tdb", "boost", "array")


def _number(x):
    """1200000 as 1.2M, for axes."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= factor:
            return "%.3g%s" % (x / factor, suffix)
    return "%.3g" % x


def _colours(names):
    left = [c for i, c in enumerate(COLOURS) if i >= len(KNOWN) or KNOWN[i] not in names] or COLOURS
    colours = {}
    for name in names:
        if name in KNOWN:
            colours[name] = COLOURS[KNOWN.index(name)]
        else:
            colours[name] = left[(len(colours) - sum(n in KNOWN for n in colours)) % len(left)]
    return colours


class _Axis:
    """The vertical one: from values to heights, and where its lines are."""

    def __init__(self, values, logarithmic):
        values = [v for v in values if v is not None and (v > 0 or not logarithmic)]
        top = max(values, default=1) or 1
        self.logarithmic = logarithmic
        if logarithmic:
            self.low = 10 ** math.floor(math.log10(min(values, default=1)))
            self.high = 10 ** math.ceil(math.log10(top * 1.0001))
            self.ticks = [10.0**e for e in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        else:
            step = 10 ** math.floor(math.log10(top / 2))
            step *= next(f for f in (1, 2, 5, 10) if top / (step * f) <= 6)
            self.low, self.high = 0, step * math.ceil(top / step)
            self.ticks = [step * i for i in range(round(self.high / step) + 1)]

    def y(self, value):
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return TOP + PLOT_HEIGHT * (1 - share)


def _text(x, y, text, anchor="middle", size=12, extra=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d"%s>%s</text>' % (
        x, y, anchor, size, extra, html.escape(text))


def _frame(title, unit, axis, names):
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" role="img">' % (WIDTH, HEIGHT),
        "<title>%s</title>" % html.escape(title),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(LEFT, 22, title, "start", 15),
        _text(LEFT, 38, unit, "start", 11, ' fill="#555555"'),
    ]
    for tick in axis.ticks:
        y = axis.y(tick)
        parts.append('<path d="M%d %.1fH%d" stroke="#dddddd"/>' % (LEFT, y, LEFT + PLOT_WIDTH))
        parts.append(_text(LEFT - 6, y + 4, _number(tick), "end", 11))
    for i, (name, colour) in enumerate(_colours(names).items()):
        x, y = WIDTH - RIGHT + 14, TOP + 10 + 20 * i
        parts.append('<rect x="%d" y="%d" width="12" height="12" fill="%s"/>' % (x, y, colour))
        parts.append(_text(x + 18, y + 10, name, "start"))
    return parts


def bars(title, unit, groups, series, logarithmic=False):
    """A group of bars for each of @p groups. series: {name: a value for each group, or None}."""
    axis = _Axis([v for values in series.values() for v in values], logarithmic)
    parts = _frame(title, unit, axis, series)
    group_width = PLOT_WIDTH / max(len(groups), 1)
    width = group_width * 0.8 / max(len(series), 1)
    colours = _colours(series)
    size = 12 if len(groups) < 8 else 10  # so that names do not touch
    for g, group in enumerate(groups):
        parts.append(_text(LEFT + group_width * (g + 0.5), HEIGHT - BOTTOM + 18, group, size=size))
        for s, (name, values) in enumerate(series.items()):
            if values[g] is None:
                continue
            x, y = LEFT + group_width * (g + 0.1) + width * s, axis.y(values[g])
            note = html.escape("%s, %s: %.4g" % (name, group, values[g]))
            parts.append(
                '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>'
                % (x, y, width * 0.92, TOP + PLOT_HEIGHT - y, colours[name], note)
            )
    return "\n".join(parts + ["</svg>", ""])


def lines(title, unit, points, series, logarithmic=True):
    """A line for each of series: {name: a value for each of @p points, or None}. Points are evenly spaced."""
    axis = _Axis([v for values in series.values() for v in values], logarithmic)
    parts = _frame(title, unit, axis, series)
    gap = PLOT_WIDTH / max(len(points), 1)
    for p, point in enumerate(points):
        parts.append(_text(LEFT + gap * (p + 0.5), HEIGHT - BOTTOM + 18, point))
    colours = _colours(series)
    for name, values in series.items():
        colour = colours[name]
        spots = [(LEFT + gap * (p + 0.5), axis.y(v), v) for p, v in enumerate(values) if v is not None]
        parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (
            " ".join("%.1f,%.1f" % spot[:2] for spot in spots), colour))
        for x, y, v in spots:
            note = html.escape("%s: %.4g" % (name, v))
            parts.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>' % (x, y, colour, note))
    return "\n".join(parts + ["</svg>", ""])
