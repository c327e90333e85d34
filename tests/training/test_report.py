"""The report of a run is one page that escapes every text and loads nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from unicodedata import category
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from tests.training.small_runs import make_trainer
from training.chart import Line, chart
from training.events import Validation
from training.report import Report, render, render_curves
from training.results import write_results

VOID = {"meta", "path", "circle"}


def records(*losses: float) -> list[dict[str, float]]:
    return [
        {
            "step": step,
            "epoch": step / 10,
            "training_loss": loss + 0.1,
            "validation_loss": loss,
            "learning_rate": 0.003,
        }
        for step, loss in enumerate(losses, 1)
    ]


class Page(HTMLParser):
    """The tags, attributes and texts of a page. Raises AssertionError if tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data


def report(text: str = "", **values: object) -> Report:
    return Report(text, text, {text: text}, values, records(2.0, 1.5), {2: text, 1: "a"})


@given(st.text())
def test_every_text_is_escaped_and_a_page_loads_nothing(text: str) -> None:
    """A control character has no place in HTML, so each is shown as U+FFFD."""
    page = Page(render(report(text)))
    command, newest, oldest = page.texts["pre"]
    assert command == newest
    assert len(command) == len(text)
    differing = [c for c, shown in zip(text, command, strict=True) if c != shown]
    assert {category(c) for c in differing} <= {"Cc", "Cs", "Cn"}
    assert oldest == "a"
    assert page.tags == Page(render(report("plain"))).tags
    assert "script" not in page.tags
    assert not {"src", "href", "style", "onload"} & {name for name, _ in page.attributes}
    assert "url(" not in "".join(page.texts["style"])


def test_samples_are_shown_with_their_losses_and_that_of_the_served_model_is_first() -> None:
    captions = Page(render(report("text"))).texts["figcaption"]
    assert captions == [
        "the model that you serve, after 2 updates, validation loss 1.5000 (2.164 bits)",
        "after 1 update, validation loss 2.0000 (2.885 bits)",
    ]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=9),
    st.booleans(),
)
def test_a_chart_has_every_point_inside(points: list[tuple[float, float]], zero: bool) -> None:
    page = Page(chart([Line("a", points), Line("b", points)], "y", 300, zero))
    places = [value for name, value in page.attributes if name in ("cx", "cy")]
    assert len(places) == 4 * len(points)
    assert all(0 <= float(place or "nan") <= 720 for place in places)


def test_a_loss_that_explodes_is_cut_off() -> None:
    """The other losses can still be told apart. The text of a point has the true loss."""
    html = render(Report("", "", {}, {}, records(2.0, 1.5, 1e9), {}))
    assert "(losses above 10 are drawn at 10)" in html
    assert "validation: 1e+09" in html
    assert "1e+09</text>" not in html
    assert "are drawn at" not in render(report())


def test_the_curves_are_a_picture_that_names_the_best_loss() -> None:
    root = ElementTree.fromstring(render_curves(records(2.0, 1.5, 1.7)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "validation, best 1.5000" in "".join(root.itertext())
    assert len(root.findall(".//{*}circle")) == 9


def test_a_run_writes_its_report(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    for event in trainer.run():
        if isinstance(event, Validation):
            write_results(trainer, "<book>.txt")
            newest = event
    html = trainer.folder.report_path.read_text()
    page = Page(html)
    assert page.texts["h1"] == ["Training on <book>.txt"]
    assert f"{trainer.best_loss:.4f} nats" in html
    assert str(trainer.folder.best_path) in page.texts["pre"][0]
    assert len(page.texts["figure"]) == 6
    assert {"--batch-size", "--seq-len", "--epochs"} <= set(page.texts["th"])
    assert page.texts["pre"][1] == trainer.folder.samples()[newest.step]


def test_a_browser_shows_it_without_a_request_or_a_warning(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(report("<b>&amp;</b>\u2028\x00", a=1)))
    messages: list[str] = []
    backgrounds = set()
    page = browser.new_page()
    page.on("console", lambda message: messages.append(message.text))
    page.on("request", lambda request: messages.append(request.url))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(path.as_uri())
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.locator("circle").count() == 6
    assert messages == [path.as_uri()] * 2
    assert len(backgrounds) == 2


OVERLAPS = """() => {
  const inside = (box, outer) =>
    box.left >= outer.left && box.right <= outer.right && box.bottom <= outer.bottom;
  const apart = (a, b) =>
    a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const isClear = (svg) => {
    const boxes = [...svg.querySelectorAll('text')].map((text) => text.getBoundingClientRect());
    return boxes.every((box, i) => inside(box, svg.getBoundingClientRect())
      && boxes.slice(i + 1).every((other) => apart(box, other)));
  };
  return [...document.querySelectorAll('svg')].filter((svg) => !isClear(svg))
    .map((svg) => svg.outerHTML);
}"""


def test_no_label_of_a_chart_overlaps_another_one(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    scales = [(1e-5, 1e-7, 1.0), (1.0, 3e-3, 1.0), (1e4, 1.5e-5, 1e-4), (123.4, 3e-3, 1e12)]
    reports = [
        Report("", "", {}, {}, [scaled(row, *scale) for row in records(*losses)], {})
        for scale in scales
        for losses in ([2.0], [3.0, 2.0], [2 + 1 / n for n in range(1, 101)])
    ]
    path.write_text("".join(map(render, reports)))
    page = browser.new_page()
    for width in (1200, 380):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path.as_uri())
        assert page.locator("svg").count() == 2 * len(reports)
        assert page.evaluate(OVERLAPS) == [], width


def scaled(row: dict[str, float], epoch: float, rate: float, loss: float) -> dict[str, float]:
    return row | {
        "epoch": row["epoch"] * epoch,
        "learning_rate": rate / row["step"],
        "validation_loss": row["validation_loss"] * loss,
    }
