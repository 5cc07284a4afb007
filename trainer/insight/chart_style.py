"""One chart as an SVG that takes its colours and its font from the page around it.

matplotlib draws with stand-in colours, which become CSS variables: so one chart suits light, dark
and print. matplotlib is imported when a chart is drawn: 0.5 s, which no other run should pay.
"""

from __future__ import annotations

import contextlib
import html
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Stand-ins; the page defines the variables.
COLORS = {
    "#010101": "--ink",
    "#020202": "--muted",
    "#030303": "--grid",
    "#040404": "--first",
    "#050505": "--second",
    "#060606": "--third",
    "#070707": "--fourth",
}
INK, MUTED, GRID, *SERIES = COLORS
# Of raster images: the part of a map for the colour-blind that stands out from a light and from a
# dark ground, at least 2 : 1. Cells without rows are transparent.
_HEAT, _HEAT_ENDS = "plasma", (0.3, 0.76)
# Of that part: up to here white text is read best, from here on black, both at least 4.5 : 1.
HEAT_MIDDLE = 0.41

_WIDTH, _HEIGHT = 4.2, 3.0  # inches
_LONGEST_LABEL = 30
_INCHES_PER_LETTER = 0.064  # of 8 points
_INCHES_PER_TICK = (0.6, 0.45)  # Of x and y; nearer ones of five digits run into each other.
_LEGEND_COLUMNS, _LEGEND_INCHES = 3, 0.17
_TICK_STEPS = [1, 2, 2.5, 5, 10]
_MANY = 10_000.0
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trainer",  # else the same chart has other ids each time
    "text.parse_math": False,  # a token may have a $
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "axes.formatter.useoffset": False,
}


class Chart(NamedTuple):
    """A drawing with what it shows, in words, and how to read it."""

    name: str
    caption: str
    svg: str
    reading: str = ""


class Canvas:
    """The axes to draw on, and the chart when that is done."""

    def __init__(self, name: str, caption: str, figure: Figure, reading: str = ""):
        """Take an empty figure."""
        self.name, self.caption, self.reading, self._figure = name, caption, reading, figure
        self._left, self._top = 0.75, 0.2
        self.axes: Axes = figure.add_axes(self._place())

    def make_room(self, labels: list[str]) -> list[str]:
        """Widen the left margin for the labels of bars; the labels, cut where they are long."""
        shown = [shortened(label) for label in labels]
        self._left = 0.25 + _INCHES_PER_LETTER * max(map(num_cells, shown), default=0)
        self.axes.set_position(self._place())
        return shown

    def make_room_around(self, labels: list[str]) -> None:
        """Widen the left margin and the lower one, where they stand upright, for the labels."""
        inches = 0.45 + _INCHES_PER_LETTER * max(map(num_cells, labels), default=0)
        self._left = inches
        self.axes.set_position(self._place(bottom=inches))

    def set_log(self) -> None:
        """A y axis in powers of ten, once all is drawn; ticks as plain numbers.

        Where it spans less than two powers there are ticks between them, else it might have none.
        """
        from matplotlib.ticker import LogLocator

        axis = self.axes.yaxis
        self.axes.set_yscale("log", nonpositive="mask")
        low, high = self.axes.get_ylim()
        powers = math.log10(high / low)
        between = (1.0,) if powers >= 2 else (1.0, 2.0, 5.0) if powers >= 0.7 else range(1, 10)
        axis.set_major_locator(LogLocator(subs=tuple(map(float, between))))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")

    def legend(self, handles: Sequence[Any] | None = None) -> None:
        """Name what has a label, above the axes, where it hides nothing."""
        handles = self.axes.get_legend_handles_labels()[0] if handles is None else handles
        lines = math.ceil(len(handles) / _LEGEND_COLUMNS)
        self._top = 0.12 + _LEGEND_INCHES * lines
        self.axes.set_position(self._place())
        self.axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(-0.04, 1.0),
            ncols=_LEGEND_COLUMNS,
            borderpad=0,
            columnspacing=1.0,
            handlelength=1.6,
        )

    def inches(self) -> np.ndarray:
        """(2,) width and height of the axes."""
        return np.asarray(self.axes.get_position().size) * self._figure.get_size_inches()

    def heat(self) -> Colormap:
        """The colours of cells, few rows to many."""
        import matplotlib
        from matplotlib.colors import LinearSegmentedColormap

        shades = matplotlib.colormaps[_HEAT](np.linspace(*_HEAT_ENDS, 64))
        return LinearSegmentedColormap.from_list("heat", shades)

    def _place(self, bottom: float = 0.48) -> tuple[float, float, float, float]:
        """Left, bottom, width and height as shares of the figure, from margins in inches."""
        width, height = self._figure.get_size_inches()
        left, top = self._left, self._top
        return left / width, bottom / height, 1 - (left + 0.15) / width, 1 - (bottom + top) / height

    def _set_ticks(self) -> None:
        """As many ticks as there is room for, thousands as k, millions as M."""
        from matplotlib.ticker import EngFormatter, MaxNLocator, ScalarFormatter

        axes, numbers = self.axes, self.inches() / _INCHES_PER_TICK
        for axis, num in zip((axes.xaxis, axes.yaxis), numbers, strict=True):
            if not isinstance(axis.get_major_formatter(), ScalarFormatter):
                continue  # Its ticks are texts, or set otherwise.
            if axis.get_scale() == "linear":
                axis.set_major_locator(MaxNLocator(max(2, min(6, int(num))), steps=_TICK_STEPS))
            if max(map(abs, axis.get_view_interval())) >= _MANY:
                axis.set_major_formatter(EngFormatter(sep=""))

    def chart(self) -> Chart:
        """What was drawn."""
        self._set_ticks()
        stream = io.StringIO()
        with warnings.catch_warnings():
            # The browser has fonts for all scripts; matplotlib's own only measures the texts.
            warnings.filterwarnings("ignore", "Glyph .* missing from|Matplotlib currently does not")
            self._figure.savefig(stream, format="svg", metadata={"Date": None})
        svg = styled(stream.getvalue(), self.name, self.caption)
        return Chart(self.name, self.caption, svg, self.reading)


@contextlib.contextmanager
def drawing(
    name: str, caption: str, height: float = _HEIGHT, reading: str = ""
) -> Iterator[Canvas]:
    """A canvas in the page's style; take its `chart()` inside.

    Args:
        name: unique in the page; its parts' ids begin with it.
        caption: what is to be seen, the text for those who do not see it.
        height: inches, at a width of 4.2.
        reading: how to read it, for those who see such a chart for the first time.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        yield Canvas(name, caption, Figure(figsize=(_WIDTH, height)), reading)


def numbers(records: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """A column of records as float64, NaN where it is absent or None."""
    values = [record.get(key) for record in records]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def lengths_around(middle: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(2, B) lengths below and above, 0 where there is no interval."""
    return np.nan_to_num(np.clip([middle - low, high - middle], 0, None))


def bars_height(num_bars: int) -> float:
    """Inches of a chart of so many bars, one below the other."""
    return 0.9 + 0.22 * max(num_bars, 4)


def styled(svg: str, name: str, caption: str) -> str:
    """The SVG of matplotlib as a part of a page.

    Its ids get the prefix `name-`, so that they are unique in the page; colours and fonts become
    the page's; width and height go, so that it fits its column.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    head, _, body = svg.partition(">")
    view = re.search(r'viewBox="[^"]+"', head)
    svg = f'<svg role="img" aria-label="{html.escape(caption)}" {view[0] if view else ""}>{body}'
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="|\bhref="|url\()#', rf"\1#{name}-", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    # Releases of matplotlib differ in how they write it.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--font)", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", svg)
    for color, variable in COLORS.items():
        svg = svg.replace(color, f"var({variable})")
    return svg.strip()


def shortened(text: Any, most: int = _LONGEST_LABEL) -> str:
    """A label of at most so many cells, see `num_cells`.

    >>> shortened("abcdefgh", 6)
    'abc...'
    """
    text = " ".join(str(text).split())
    if num_cells(text) <= most:
        return text
    while num_cells(text) > most - 3:
        text = text[:-1]
    return f"{text}..."


def ends_of(text: Any, most: int) -> str:
    """A label of at most so many cells that keeps its end, by which names of a series differ.

    >>> ends_of("product number 499", 14)
    'produc...r 499'
    """
    text = " ".join(str(text).split())
    if num_cells(text) <= most:
        return text
    half = most // 2
    end = shortened(text[::-1], most - half + 1).removesuffix("...")[::-1]
    return shortened(text, half + 2) + end


def pair_label(feature: str, value: Any, most: int = _LONGEST_LABEL) -> str:
    """A feature and one of its values; of a long feature the beginning, so that the value stays.

    >>> pair_label("temperature_of_the_left_bearing", "below -1.28", 24)
    'tempera... = below -1.28'
    """
    shown = shortened(value, most // 2)
    return f"{shortened(feature, max(6, most - 3 - num_cells(shown)))} = {shown}"


def num_cells(text: str) -> int:
    """The width of a text in Latin letters: those of East Asia, and emoji, take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
