"""One chart as an SVG that takes its colours and its font from the page around it.

matplotlib draws with stand-in colours, which become CSS variables: so one chart suits light, dark
and print. matplotlib is imported when a chart is drawn: 0.5 s, which no other run should pay.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
# Of raster images, on any ground: rows of no weight are transparent.
HEAT = "viridis"

_WIDTH, _HEIGHT = 4.2, 3.0  # inches
_LONGEST_LABEL = 30
_INCHES_PER_LETTER = 0.064  # of 8 points
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
    "image.cmap": HEAT,
}


class Chart(NamedTuple):
    """A drawing with what it shows, in words."""

    name: str
    caption: str
    svg: str


class Canvas:
    """The axes to draw on, and the chart when that is done."""

    def __init__(self, name: str, caption: str, figure: Figure):
        """Take an empty figure."""
        self.name, self.caption, self._figure = name, caption, figure
        self.axes: Axes = figure.add_axes(self._place(0.75))
        self.axes.locator_params(nbins=6)  # More ticks of five digits run into each other.

    def make_room(self, labels: list[str]) -> list[str]:
        """Widen the left margin for the labels of bars; the labels, cut where they are long."""
        shown = [shortened(label) for label in labels]
        self.axes.set_position(
            self._place(0.25 + _INCHES_PER_LETTER * max(map(len, shown), default=0))
        )
        return shown

    def make_room_below(self) -> None:
        """Widen the lower margin for labels that stand upright."""
        self.axes.set_position(self._place(0.75, bottom=0.9))

    def set_log(self) -> None:
        """A y axis in powers of ten; its ticks as plain numbers, for mathtext is not parsed."""
        self.axes.set_yscale("log", nonpositive="mask")
        self.axes.yaxis.set_major_formatter("{x:g}")
        self.axes.yaxis.set_minor_formatter("")
        self.axes.set_position(self._place(0.8))

    def _place(self, left: float, bottom: float = 0.48) -> tuple[float, float, float, float]:
        """Left, bottom, width and height as shares of the figure, from margins in inches."""
        width, height = self._figure.get_size_inches()
        return left / width, bottom / height, 1 - (left + 0.15) / width, 1 - (bottom + 0.2) / height

    def chart(self) -> Chart:
        """What was drawn."""
        stream = io.StringIO()
        with warnings.catch_warnings():
            # The browser has fonts for all scripts; matplotlib's own only measures the texts.
            warnings.filterwarnings("ignore", "Glyph .* missing from|Matplotlib currently does not")
            self._figure.savefig(stream, format="svg", metadata={"Date": None})
        return Chart(self.name, self.caption, styled(stream.getvalue(), self.name, self.caption))


@contextlib.contextmanager
def drawing(name: str, caption: str, height: float = _HEIGHT) -> Iterator[Canvas]:
    """A canvas in the page's style; take its `chart()` inside.

    Args:
        name: unique in the page; its parts' ids begin with it.
        caption: what is to be seen, the text for those who do not see it.
        height: inches, at a width of 4.2.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        yield Canvas(name, caption, Figure(figsize=(_WIDTH, height)))


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
    """A label of at most so many characters.

    >>> shortened("abcdefgh", 6)
    'abc...'
    """
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[: most - 3] + "..."
