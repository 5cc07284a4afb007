"""trainer.insight.chart_style: an SVG that is a part of a page."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from planted_reports import EVIL

from trainer.insight.chart_style import SERIES, drawing, shortened


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


def test_a_label_is_one_line():
    assert shortened("a\nb") == "a b"
