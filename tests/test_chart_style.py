"""trainer.insight.chart_style: an SVG that is a part of a page."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from planted_reports import EVIL

from trainer.insight.chart_style import HEAT_MIDDLE, SERIES, drawing, num_cells, shortened


def draw(name="one", caption="Points"):
    with drawing(name, caption) as canvas:
        canvas.axes.plot([1, 2, 3], [4, 5, 1], color=SERIES[1], label=EVIL)
        canvas.axes.set_xlabel(EVIL)
        canvas.axes.legend()
        return canvas.chart()


def test_texts_of_the_data_are_texts_of_the_drawing():
    root = ElementTree.fromstring(draw(caption=EVIL).svg)
    texts = ["".join(e.itertext()) for e in root.iter("text")]
    assert texts.count(EVIL) == 2  # Not as the formula that its dollars would make.
    assert root.attrib["aria-label"] == EVIL
    assert not list(root.iter("script"))


def test_colors_fonts_and_size_are_the_page_s():
    svg = draw().svg
    assert "stroke: var(--second)" in svg and "#050505" not in svg
    families = set(re.findall(r"font(?:-family)?: (?!size)([^;\"]+)", svg))
    assert all("var(--font)" in family for family in families)
    assert 'viewBox="0 0 302.4 216"' in svg and "width=" not in svg[:200]
    assert "<style" not in svg  # It would style the whole page.


@pytest.mark.filterwarnings("error")
def test_texts_of_any_script_are_left_to_the_browser():
    texts = [
        "\u989c\u8272 = \u7ea2",
        "\N{GRINNING FACE}",
        "\u0642\u0637\u0629",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
    ]
    with drawing("scripts", "Bars") as canvas:
        canvas.axes.set_yticks(range(4), canvas.make_room(texts))
        svg = canvas.chart().svg
    assert all(f">{text}<" in svg for text in texts)


def test_two_charts_share_no_id_and_each_repeats():
    first, second = draw("one").svg, draw("two").svg
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', first))
    assert used and used <= ids[0]
    assert draw("one").svg == first


def test_bars_have_room_for_their_labels():
    with drawing("bars", "Bars") as canvas:
        shown = canvas.make_room(["a" * 100, "b"])
        left = canvas.axes.get_position().x0
    assert shown == ["a" * 27 + "...", "b"]
    # 30 letters of 8 points, about 4.5 points wide, on 302 points.
    assert left > 30 * 4.5 / 302.4


def ticks_of(svg, place):
    """The texts of an axis, x or y."""
    return re.findall(rf'id="\w+-{place}tick_\d+".*?>([^<>]+)</text>', svg, re.DOTALL)


def test_a_log_axis_of_less_than_a_power_has_ticks():
    for values, expected in (
        ([0.016, 0.07], {"0.02", "0.05"}),
        ([0.02, 0.9, 9.0], {"0.1", "1"}),
        ([0.51, 0.79], {"0.6", "0.7"}),
    ):
        with drawing("log", "Norms") as canvas:
            canvas.axes.plot(values)
            canvas.set_log()
            assert expected <= set(ticks_of(canvas.chart().svg, "y"))


def test_thousands_and_millions_are_short():
    with drawing("large", "Incomes") as canvas:
        canvas.axes.plot([0, 60_000], [0, 5e6])
        svg = canvas.chart().svg
    assert "20k" in ticks_of(svg, "x") and "2M" in ticks_of(svg, "y")
    with drawing("near", "Degrees") as canvas:
        canvas.axes.plot([40.70001, 40.70004], [0, 1])
        assert "40.70002" in ticks_of(canvas.chart().svg, "x")  # and no offset beside the axis


def test_a_legend_stands_above_the_axes():
    with drawing("legend", "Layers") as canvas:
        for i in range(7):
            canvas.axes.plot([0, 1], label=f"h{i}")
        canvas.legend()
        svg = canvas.chart().svg
        top = 216 * (1 - canvas.axes.get_position().y1)
    heights = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>h\d<', svg)]
    assert len(heights) == 7 and max(heights) < top


def contrast(one, other):
    """Of two colours, by WCAG 2.1."""
    light = []
    for color in (one, other):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
        light.append(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_cells_stand_out_from_both_grounds_and_texts_from_cells():
    with drawing("heat", "Counts") as canvas:
        colors = canvas.heat()
    for share in np.linspace(0, 1, 101):
        for ground in ((0xF6, 0xF7, 0xF9), (0x1B, 0x21, 0x2A)):  # --panel of the page
            assert contrast(colors(share), [c / 255 for c in ground]) >= 2
        text = (0, 0, 0) if share > HEAT_MIDDLE else (1, 1, 1)
        assert contrast(colors(share), text) >= 4.5


def test_letters_of_east_asia_take_the_room_of_two():
    assert num_cells("abc") == 3 and num_cells("\u653f\u6cbb") == 4
    assert shortened("\u653f" * 10, 13) == "\u653f" * 5 + "..."


def test_a_label_is_one_line():
    assert shortened("a\nb") == "a b"
