"""trainer.insight.page: one file, whose numbers are the report's and whose texts are only texts."""

import json
import re
import shutil
import subprocess

import pytest
from page_reader import Reader
from planted_reports import EVIL, TASKS, planted_report

from trainer.insight import page
from trainer.insight.page_sections import sections_of


@pytest.fixture(scope="module", params=TASKS)
def made(request):
    report = planted_report(request.param)
    sections = sections_of(report)
    return report, sections, page.render(page.title_of(report), sections)


def test_numbers_on_the_page_are_those_of_the_report(made):
    report, _, text = made
    shown = Reader(text).data
    assert ("table-metrics", 11.32) in shown
    monitored = report["metrics"]["test"][report["monitor"]]
    for factor in (1, 2, 1.25):
        assert ("table-metrics", factor * monitored) in shown
    for record in report["slices"]["test"][: page.MOST_ROWS]:
        assert ("table-slices_test", record["bias_low"]) in shown
    for record in report["importance"]:
        assert ("table-importance", record["mean"]) in shown
    of_figures = str(report["evaluation"]["test"])
    for name, value in shown:
        if name in ("table-residuals_by_decile_test", "table-confusion_test"):
            assert str(value).removesuffix(".0") in of_figures
    if report["task"] == "binary":
        assert {("table-confusion_test", n) for n in (301, 102, 903, 194)} <= set(shown)


def test_page_needs_nothing_but_itself(made):
    found = Reader(made[2])
    assert not {"script", "iframe", "object", "img", "base"} & set(found.tags)
    for link in found.links:
        assert link.startswith("#") or link.startswith("data:")
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", made[2])
    assert len(made[2]) < 3_000_000


def test_ids_are_unique_and_links_lead_to_them(made):
    found = Reader(made[2])
    assert len(found.ids) == len(set(found.ids)) > 100
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_tokens_of_the_data_stay_texts(made):
    assert "<script" not in made[2]
    assert EVIL in "".join(Reader(made[2]).text)


def test_page_is_readable_without_seeing_it(made):
    _, sections, text = made
    found = Reader(text)
    assert found.tags.count("h1") == 1 and found.tags.count("h2") == len(sections)
    assert found.tags.count("caption") == found.tags.count("table") > 5
    assert text.count('role="img" aria-label="') == found.tags.count("figure") > 8
    assert "<th>" not in text  # all have a scope


def test_colors_are_the_page_s(made):
    assert "var(--ink)" in made[2] and "var(--first)" in made[2]
    assert not re.search(r"(fill|stroke): #0[1-7]0[1-7]0[1-7]", made[2])
    assert "DejaVu" not in made[2]


def themes_of(text):
    """The variables of the page's themes: light, dark, print."""
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(blocks) == 3
    return [dict(re.findall(r"--(\w+): #(\w{6})", block)) for block in blocks]


def contrast(one, other):
    """Of two colours, by WCAG 2.1."""
    light = []
    for color in (one, other):
        parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_texts_and_lines_reach_the_contrast_of_aa_in_every_theme(made):
    for theme in themes_of(made[2]):
        for ground in (theme["ground"], theme["panel"]):
            for text in ("ink", "muted", "alarm", "warning"):
                assert contrast(theme[text], ground) >= 4.5
            for line in ("first", "second", "third", "fourth"):
                assert contrast(theme[line], ground) >= 3
        assert contrast(theme["first"], theme["ground"]) >= 4.5  # of links


def test_absent_sections_are_left_out():
    report = {"label": "y", "task": "binary", "rows": {"train": 5}}
    assert [s.name for s in sections_of(report)] == ["run"]
    assert [s.name for s in sections_of({**report, "doctor": []})] == ["doctor", "run"]


def test_sections_come_in_the_order_of_reading(made):
    assert [s.name for s in made[1]][:8] == [
        "verdict",
        "next",
        "doctor",
        "run",
        "training",
        "evaluation",
        "slices",
        "fairness",
    ]


def open_in_browser(path, profile):
    """What Chromium logs of a page, the tags it sees, and the addresses it asks for."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium; apt-get install chromium")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={profile}",
        f"--log-net-log={profile}.net",
    ]
    run = subprocess.run(
        [*command, "--dump-dom", f"file://{path}"], capture_output=True, text=True, timeout=120
    )
    with open(f"{profile}.net") as file:
        events = json.load(file)["events"]
    urls = {e["params"]["url"] for e in events if "url" in e.get("params", {})}
    # The browser itself asks its maker for updates.
    own = re.compile(r"file:|data:|chrome|https?://[\w.-]+\.(google|googleapis|gvt1)\.com")
    return run.stderr, Reader(run.stdout).tags, {url for url in urls if not own.match(url)}


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_browser_has_nothing_to_complain_about(task, tmp_path):
    report = planted_report(task)
    (tmp_path / "report.html").write_text(page.render("x", sections_of(report)))
    log, tags, urls = open_in_browser(tmp_path / "report.html", tmp_path / "profile")
    assert "CONSOLE" not in log and urls == set()
    assert tags.count("figure") == tags.count("figcaption") > 8


@pytest.mark.slow
def test_browser_would_complain(tmp_path):
    text = "<img src='http://nowhere.invalid/a.png'><script>undefined_name()</script>"
    (tmp_path / "bad.html").write_text(text)
    log, _, urls = open_in_browser(tmp_path / "bad.html", tmp_path / "profile")
    assert "CONSOLE" in log and "http://nowhere.invalid/a.png" in urls
