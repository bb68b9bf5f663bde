"""The tear sheet in a real browser: it loads nothing, complains of nothing, and can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ktrdr.reporting.sheet import tear_sheet
from tests.backtests import backtest_report, made_up_bars, momentum
from tests.browser.chromium import CHROMIUM, Chromium, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; `make test-browser` installs it on Debian"
    ),
]
WIDE, PHONE = 1280, 390
# Boxes of what is written, without what is hidden or scrolled out of its frame.
BOXES = """
[...document.querySelectorAll('.chart')].filter(chart => chart.getBoundingClientRect().width).map(chart =>
  [...chart.querySelectorAll('text')].filter(one => one.getBoundingClientRect().width).map(one => {
    const box = one.getBoundingClientRect();
    return [one.textContent, box.left, box.top, box.right, box.bottom];
  }))
"""
SECTIONS = """
[...document.querySelectorAll('section, .plot, table')].filter(one => !one.closest('details')).map(one => {
  const box = one.getBoundingClientRect();
  return [one.id || one.tagName, box.width, box.height];
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve years of daily bars with some sixty trades."""
    report = backtest_report(made_up_bars(3300), segment="validation", strategy="momentum_demo")
    return written(tmp_path_factory.mktemp("daily"), report)


def written(directory: Path, report: dict[str, Any]) -> Path:
    path = directory / "sheet.html"
    path.write_text(tear_sheet(report), encoding="utf-8")
    return path


def overlaps(boxes: list[list[Any]]) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than two pixels in both directions."""
    return [
        (a[0], b[0])
        for at, a in enumerate(boxes)
        for b in boxes[at + 1 :]
        if min(a[3], b[3]) - max(a[1], b[1]) > 2.0 and min(a[4], b[4]) - max(a[2], b[2]) > 2.0
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_page_is_whole_at_every_width(
    browser: Chromium, page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    """Nothing but the file is loaded, the console is silent, each part has a size, the page never scrolls
    sideways, and no two labels of a chart cover one another."""
    browser.open(page, width=width, dark=dark)
    parts = browser.run(SECTIONS)
    assert len(parts) >= 17
    assert [one for one in parts if min(one[1:]) <= 0.0] == []
    assert browser.run("document.documentElement.scrollWidth") == width
    assert [pair for chart in browser.run(BOXES) for pair in overlaps(chart)] == []
    browser.screenshot(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 50_000
    assert_quiet(browser, page)


def test_the_scheme_follows_the_reader(browser: Chromium, page: Path) -> None:
    """Dark when the system is dark, and light on paper whatever the system is."""
    colours = []
    for dark, media in ((False, "screen"), (True, "screen"), (True, "print")):
        browser.open(page, width=WIDE, dark=dark, media=media)
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(17, 21, 26)", "rgb(255, 255, 255)"]


@pytest.mark.parametrize(("chart", "said"), [("equity", "Strategy"), ("candles", "Close")])
def test_the_pointer_reads_a_chart(browser: Chromium, page: Path, chart: str, said: str) -> None:
    """Date and values of the place under it, and a line there; the policy lets the script run."""
    browser.open(page, width=WIDE)
    browser.run(f"document.querySelector('#{chart}').scrollIntoView()")
    box = browser.run(
        f"(b => [b.left, b.top, b.width])(document.querySelector('#{chart} .plot').getBoundingClientRect())"
    )
    browser.point(box[0] + box[2] / 2, box[1] + 100)
    read = browser.run(f"document.querySelector('#{chart} output').textContent")
    assert read.startswith("2010-0")
    assert said in read
    place = float(browser.run(f"document.querySelector('#{chart} .cross').getAttribute('x1')").rstrip("%"))
    assert place == pytest.approx(50.0, abs=0.5)
    assert_quiet(browser, page)


def test_hostile_names_run_nothing(browser: Chromium, tmp_path: Path) -> None:
    """Markup in a symbol, a strategy and an exit reason is shown as text."""
    hostile = "<img src=x onerror='document.title=1'></svg><script>document.title=2</script>"
    report = backtest_report(made_up_bars(400), symbol=hostile, strategy=hostile)
    for one in report["trades"]:
        one["exit_reason"] = hostile
    page = written(tmp_path, report)
    browser.open(page, width=PHONE)
    assert browser.run("document.querySelector('h1').textContent").startswith(hostile)
    assert browser.run("document.images.length") == 0
    assert browser.run("document.title").startswith("<img")
    assert browser.run("document.documentElement.scrollWidth") == PHONE
    assert_quiet(browser, page)


def test_a_policy_stops_what_is_not_the_sheets_own(browser: Chromium, page: Path, tmp_path: Path) -> None:
    """Were a name ever written unescaped, the browser would still refuse to run it."""
    tampered = tmp_path / "sheet.html"
    text = page.read_text(encoding="utf-8")
    tampered.write_text(
        text.replace("<main>", "<main><script>document.title='ran'</script>"), encoding="utf-8"
    )
    browser.open(tampered, width=WIDE)
    assert browser.run("document.title") != "ran"
    assert any("Content Security Policy" in one["entry"]["text"] for one in browser.said("Log.entryAdded"))


def test_every_trade_of_many_can_be_scrolled_to(browser: Chromium, tmp_path: Path) -> None:
    """Where marks would cover one another they stand on a wide chart of their own, closed at first."""
    bars = made_up_bars(6000, step=3600, wild=0.004)
    page = written(tmp_path, backtest_report(bars, momentum(bars, 20, 5), segment="holdout"))
    browser.open(page, width=PHONE)
    browser.run("document.querySelector('details').open = true")
    wide = browser.run("document.querySelector('details .plot').getBoundingClientRect().width")
    assert wide > 10 * PHONE
    assert browser.run("document.documentElement.scrollWidth") == PHONE
    assert [pair for chart in browser.run(BOXES) for pair in overlaps(chart)] == []
    assert_quiet(browser, page)


def assert_quiet(browser: Chromium, page: Path) -> None:
    """No message, no exception, and no request but the one for the page."""
    assert browser.said("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    asked = [one["request"]["url"] for one in browser.said("Network.requestWillBeSent")]
    assert [one for one in asked if one != page.as_uri() and not one.startswith("data:")] == []
