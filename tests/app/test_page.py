"""The playground at / in a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Locator, Page, Route

from tests.browser import browser_path, running_browser
from tests.conftest import SHIPPED
from tests.server import RunningServer, free_port, running_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="neither Chromium nor Chrome is installed"),
]

SECRET = "a-secret-key"  # a made-up one


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def narrow() -> Iterator[RunningServer]:
    """A server with one slot, a short queue and a model that takes its time."""
    with running_server(SHIPPED, max_streams="1", max_queue="2") as running:
        yield running


@contextmanager
def opened(browser: Browser, address: str, refusals: bool = False, **kind: Any) -> Iterator[Page]:
    """A page, opened; at its end it must have logged no error and asked no other host.

    Args:
        refusals: the server is to refuse or to vanish, which a browser logs as an error.
    """
    context = browser.new_context(reduced_motion="reduce", **kind)
    page = context.new_page()
    origin = "/".join(address.split("/")[:3])
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: (
            troubles.append(message.text)
            if message.type == "error" and not (refusals and "load resource" in message.text)
            else None
        ),
    )
    page.on(
        "request",
        lambda request: None if request.url.startswith(origin) else troubles.append(request.url),
    )
    page.goto(address)
    yield page
    assert not troubles
    context.close()


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    with opened(browser, server.url) as page:
        page.get_by_text("LSTM over").wait_for()
        page.get_by_label("Prime").fill("abc")
        yield page


def fill(page: Page, **values: object) -> None:
    for name, value in values.items():
        page.locator(f"#controls [name={name}]").fill(str(value))


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def generate(page: Page, **values: Any) -> str:
    """Fills in, generates and waits for the end; the text."""
    fill(page, **values)
    press(page, "Generate")
    page.locator("#status").get_by_text(f"{values['length']:,} characters").wait_for()
    return text_of(page)


def text_of(page: Page) -> str:
    return content(page.locator("#text"))


def wait_for_text(page: Page, length: int | None = None, more_than: int = 0) -> None:
    """Waits until the text has a length. (`wait_for_function` needs eval, which is forbidden.)"""
    for _ in range(1500):
        size = len(text_of(page))
        if size == length or (length is None and size > more_than):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"the text came to {size} characters")


def content(element: Locator) -> str:
    return element.evaluate("element => element.textContent")  # type: ignore[no-any-return]


def answer(server: RunningServer, **ask: object) -> str:
    with server.client() as client:
        ask = {"top_k": 5, "temperature": 0.8, **ask}
        return client.post("/generate", json=ask).raise_for_status().json()["text"]  # type: ignore[no-any-return]


def character(page: Page, place: int) -> Locator:
    return page.locator("#text .c").nth(place)


def test_the_text_grows_on_the_page_and_no_frame_takes_long(
    page: Page, server: RunningServer
) -> None:
    page.evaluate(
        """() => {
            window.sizes = [];
            window.longest = 0;
            let last = performance.now();
            const frame = (now) => {
                window.longest = Math.max(window.longest, now - last);
                last = now;
                requestAnimationFrame(frame);
            };
            requestAnimationFrame(frame);
            const text = document.querySelector("#text");
            new MutationObserver(() => window.sizes.push(text.textContent.length)).observe(
                text, { childList: true, characterData: true, subtree: true },
            );
        }"""
    )
    text = generate(page, length=5000, seed=7)
    sizes, longest = page.evaluate("[window.sizes, window.longest]")
    assert len(set(sizes)) >= 10, "the text came in many pieces"
    assert sizes == sorted(sizes)
    assert text == answer(server, prime="abc", length=5000, seed=7)
    print(f"the longest frame of 5,000 characters with scores took {longest:.0f} ms")
    assert longest < 1500  # 100 on a quiet machine


def test_stop_keeps_what_is_there_and_generate_starts_anew(
    browser: Browser, narrow: RunningServer
) -> None:
    with opened(browser, narrow.url) as page:
        fill(page, prime="abc", length=100000)  # takes seconds, so that there is time to stop
        press(page, "Generate")
        wait_for_text(page, more_than=10)
        page.keyboard.press("Escape")
        size = len(text_of(page))
        page.wait_for_timeout(200)
        assert len(text_of(page)) == size
        page.get_by_text(f"Stopped after {size:,} characters.").wait_for()
        assert f"length={size}&" in page.url, "the link leads to what is there"
        assert len(generate(page, length=20)) == 20


def test_every_control_counts(page: Page, server: RunningServer) -> None:
    wild: dict[str, Any] = {"length": 40, "temperature": 1.5, "seed": 2**63 - 1}
    text = generate(page, top_k="", top_p="0.9", **wild)
    assert text == answer(server, prime="abc", top_k=None, top_p=0.9, **wild)


def test_an_empty_seed_is_another_each_time_and_the_dice_fill_it_in(page: Page) -> None:
    assert generate(page, length=40, seed="") != generate(page, length=40, seed="")
    press(page, "Roll the dice")
    seed = page.get_by_label("Seed").input_value()
    assert seed.isdigit()
    assert page.get_by_text(f"seed {seed}").count() == 0
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"seed {seed}").wait_for()


def test_going_on_reads_nothing_twice(page: Page, server: RunningServer) -> None:
    first = generate(page, length=40, seed=3)
    press(page, "Continue")
    wait_for_text(page, length=80)
    page.get_by_text("42 of 43").wait_for()  # of the prime's characters, in the cache
    assert text_of(page) == first + answer(server, prime="abc" + first, length=40, seed=3)
    assert page.locator("#text .c").count() == 80, "all have their colour"


def test_the_text_is_text_and_never_html(page: Page) -> None:
    generate(page, prime="<b>&amp<script>", length=400, top_k="", temperature=3)
    assert "<" in text_of(page)
    assert page.locator(".writing :not(span)").count() == 0
    assert content(page.locator("#columns .prime")) == "<b>&amp<script>"


def test_pointing_at_a_character_shows_what_it_might_have_been_and_forks(
    page: Page, server: RunningServer
) -> None:
    text = generate(page, length=30, seed=5)
    character(page, 9).hover()
    panel = page.locator("#alternatives")
    with server.client() as client:
        ask = {"prime": "abc" + text[:9], "text": text[9:], "logprobs": 8}
        scored = client.post("/score", json=ask).json()["characters"][0]
    assert panel.get_by_role("button").count() == 8
    other = next(token for token, _ in scored["top"] if token not in (text[9], " ", "\n"))
    panel.get_by_role("button", name=f"{other}, ").first.click()
    wait_for_text(page, length=40)
    forked = text[:9] + other
    assert text_of(page) == forked + answer(server, prime="abc" + forked, length=30, seed=5)
    page.get_by_text("30 characters").wait_for()
    page.go_back()
    wait_for_text(page, length=30)
    assert text_of(page) == text, "back leads to the text before"


def test_the_alternatives_tell_what_top_k_left_out(page: Page) -> None:
    generate(page, length=30, seed=5, top_k=3)
    fill(page, top_k=50)  # which changes nothing about the text that is there
    character(page, 9).hover()
    panel = page.locator("#alternatives")
    panel.get_by_text("by top-k 3, temperature 0.8").wait_for()
    panel.get_by_text("Top-k 3 leaves these out").wait_for()
    assert panel.locator("button").count() == 8
    assert panel.locator("li").nth(3).inner_text().startswith("Top-k 3")
    assert panel.locator("button.left-out").count() == 5
    assert panel.get_by_role("button", name="left out by top-k").count() == 5


def test_a_pointer_at_rest_opens_nothing_and_escape_stops(
    browser: Browser, shipped: RunningServer
) -> None:
    with opened(browser, shipped.url, viewport={"width": 1366, "height": 650}) as page:
        page.locator("#write .sheet").hover()
        fill(page, length=100_000)
        page.keyboard.press("Control+Enter")
        wait_for_text(page, more_than=3000)  # it has scrolled
        panel = page.locator("#alternatives")
        assert panel.is_hidden()
        page.locator("#write .sheet").hover(position={"x": 300, "y": 100})
        page.locator(".c >> nth=-300").dispatch_event("click")  # wherever it is by now
        page.keyboard.press("Escape")
        page.locator("#status").get_by_text("Stopped after").wait_for()
        assert panel.is_hidden()


def test_the_alternatives_can_be_scrolled_where_there_is_little_room(page: Page) -> None:
    generate(page, length=300, seed=7)
    page.set_viewport_size({"width": 568, "height": 320})
    character(page, 100).scroll_into_view_if_needed()
    character(page, 100).hover()
    panel, last = page.locator("#alternatives"), page.locator("#alternatives button").last
    panel.wait_for()
    last.focus()
    page.wait_for_timeout(100)
    box, shown = last.bounding_box(), panel.bounding_box()
    assert box is not None
    assert shown is not None
    assert shown["y"] <= box["y"] <= shown["y"] + shown["height"] - box["height"]


def test_a_new_text_beneath_the_pointer_is_pointed_at(page: Page) -> None:
    generate(page, length=300, seed=7)
    character(page, 40).hover()
    page.locator("#alternatives").wait_for()
    fill(page, seed=8)
    page.keyboard.press("Control+Enter")
    page.locator("#status").get_by_text("seed 8").wait_for()
    assert page.locator("#alternatives").is_hidden()
    box = character(page, 40).bounding_box()
    assert box is not None
    for step in range(1, 5):
        page.mouse.move(box["x"] + 2, box["y"] + step)
    page.locator("#alternatives").wait_for()


def test_a_text_that_is_taken_away_leaves_the_others_to_end(
    browser: Browser, shipped: RunningServer
) -> None:
    with opened(browser, shipped.url) as page:
        press(page, "Compare")
        fill(page, length=40_000)
        press(page, "Generate")
        wait_for_text(page, more_than=100)
        press(page, "Remove")
        page.locator("#status").get_by_text("40,000 characters").wait_for(timeout=120_000)


def test_what_all_compared_texts_share_is_nobody_s_own_problem(
    browser: Browser, server: RunningServer
) -> None:
    with opened(browser, server.url, refusals=True) as page:
        press(page, "Compare")
        fill(page, prime="Ж", length=10)
        press(page, "Generate")
        page.locator("#status").get_by_text("Not done: see Prime.").wait_for()


@pytest.mark.parametrize("size", [(1366, 650), (568, 320), (390, 600)])
def test_the_alternatives_stand_beside_their_character(page: Page, size: tuple[int, int]) -> None:
    generate(page, length=700, seed=7)
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    panel = page.locator("#alternatives")
    for place in range(0, 700, 90):
        page.mouse.move(1, 1)
        character(page, place).scroll_into_view_if_needed()
        character(page, place).hover()
        panel.wait_for()
        box, shown = character(page, place).bounding_box(), panel.bounding_box()
        assert box is not None
        assert shown is not None
        beneath, above = shown["y"] >= box["y"], shown["y"] + shown["height"] <= box["y"] + 1
        assert beneath or above
        assert shown["y"] >= 0
        if shown["height"] > 96:
            assert shown["y"] + shown["height"] <= height


def test_what_was_chosen_stays_in_sight(page: Page) -> None:
    page.set_viewport_size({"width": 1366, "height": 650})
    generate(page, length=2000, seed=7)
    character(page, 20).scroll_into_view_if_needed()
    character(page, 20).hover()
    page.locator("#alternatives button").nth(6).click()
    page.locator("#status").get_by_text("2,000 characters").wait_for()
    chosen, sheet = (
        page.locator(".c.chosen").bounding_box(),
        page.locator("#write .sheet").bounding_box(),
    )
    assert chosen is not None
    assert sheet is not None
    assert sheet["y"] <= chosen["y"] <= sheet["y"] + sheet["height"]


def test_the_alternatives_close_when_the_focus_goes_elsewhere(page: Page) -> None:
    generate(page, length=30, seed=5)
    page.get_by_role("group", name="Generated text").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
    assert page.locator("#alternatives").is_hidden()
    assert page.locator("a[href=docs]").evaluate("link => link === document.activeElement")


def test_the_keyboard_reaches_the_alternatives(page: Page) -> None:
    text = generate(page, length=30, seed=5)
    sheet = page.get_by_role("group", name="Generated text")
    sheet.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert content(page.locator(".c.here")) == text[1]
    assert page.locator("#announcer").inner_text().count("%") == 4
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    assert (
        page.locator("#alternatives button")
        .nth(1)
        .evaluate("button => button === document.activeElement")
    )
    page.keyboard.press("Escape")
    assert page.locator("#alternatives").is_hidden()
    assert sheet.evaluate("sheet => sheet === document.activeElement")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_for_text(page, length=33)
    assert text_of(page)[:2] == text[:2]


def test_a_tap_shows_the_alternatives(browser: Browser, server: RunningServer) -> None:
    phone: dict[str, Any] = {"has_touch": True, "viewport": {"width": 390, "height": 844}}
    with opened(browser, server.url, **phone) as page:
        generate(page, prime="abc", length=30)
        character(page, 4).tap()
        page.locator("#alternatives").wait_for()
        page.locator("h1").tap()
        assert page.locator("#alternatives").is_hidden()
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide)


def test_without_colours_nothing_is_scored_until_they_are_wanted(page: Page) -> None:
    switch = page.get_by_role("switch", name="Show surprise")
    switch.uncheck()
    text = generate(page, length=50, seed=2)
    assert page.locator("#text .c").count() == 0
    switch.check()
    character(page, 49).wait_for()
    assert text_of(page) == text
    page.get_by_text("bits per character").wait_for()
    assert page.locator("#columns canvas").is_visible()


def test_scores_that_come_late_bring_no_former_text_back(page: Page) -> None:
    held: list[Route] = []
    page.route("**/score", lambda route: held.append(route))
    switch = page.get_by_role("switch", name="Show surprise")
    switch.uncheck()
    generate(page, length=50, seed=2)
    with page.expect_request("**/score"):
        switch.check()
    text = generate(page, length=60, seed=3)
    with page.expect_response("**/score"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert text_of(page) == text


def test_settings_are_compared_on_the_same_seed(page: Page, server: RunningServer) -> None:
    fill(page, length=60)
    press(page, "Compare")
    press(page, "Compare with a third")
    press(page, "Generate")
    page.get_by_text("3 texts").wait_for()
    seed = int(page.locator("#status").inner_text().split()[-1].rstrip("."))
    texts = [content(text) for text in page.locator("#columns .text").all()]
    kinds: list[dict[str, Any]] = [{}, {"top_k": 1}, {"top_k": None, "temperature": 1.2}]
    assert texts == [answer(server, prime="abc", length=60, seed=seed, **kind) for kind in kinds]


def test_the_text_that_is_there_is_what_others_are_compared_with(page: Page) -> None:
    text = generate(page, length=60)
    press(page, "Compare")
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    assert text_of(page) == text
    press(page, "Remove")
    assert page.get_by_label("Seed").input_value() == "", "it was not typed"


def test_a_text_as_long_as_the_server_reads_says_so(browser: Browser, tiny_path: Path) -> None:
    with (
        running_server(tiny_path, max_prime="50") as server,
        opened(browser, server.url, refusals=True) as page,
    ):
        generate(page, prime="abc", length=60)
        press(page, "Continue")
        page.locator("#status").get_by_text("as long as this server reads").wait_for()
        assert page.locator("[aria-invalid]").count() == 0


def test_a_server_that_is_gone_from_the_start_lost_no_connection(browser: Browser) -> None:
    with running_server(SHIPPED) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.get_by_text("LSTM over").wait_for()
    press(page, "Generate")
    page.get_by_text("The server cannot be reached.", exact=True).wait_for()
    press(page, "Stop")
    assert page.locator("#status").inner_text() == "Stopped."
    context.close()


def test_typographic_characters_are_replaced(browser: Browser, shipped: RunningServer) -> None:
    with opened(browser, shipped.url, refusals=True) as page:
        prime = "“Don\u2019t stop,” she said — it\u2019s the naïve café…\u00a0Ж"
        fill(page, prime=prime, length=10)
        press(page, "Generate")
        press(page, "Replace or leave them out")
        page.locator("#status").get_by_text("Ready.").wait_for()
        plain = "\"Don't stop,\" she said -- it's the naive cafe... "
        assert page.get_by_label("Prime").input_value() == plain


def test_a_scoring_that_takes_long_can_be_stopped(page: Page) -> None:
    page.get_by_role("tab", name="Score").click()
    page.get_by_label("Passage").fill("abc")
    page.route("**/score", lambda _: None)  # never answered
    press(page, "Score")
    page.locator("#score-status").get_by_text("Reading").wait_for()
    press(page, "Stop")
    page.locator("#score-status").get_by_text("Ready.").wait_for()
    assert page.locator("#score-stop").is_disabled()


def test_colours_are_kept_in_print_and_where_the_system_sets_them(page: Page) -> None:
    generate(page, length=300, seed=7)
    warm = page.locator("#text .c:is(.s2, .s3, .s4, .s5, .s6)").first
    colour = "element => getComputedStyle(element).backgroundColor"
    as_ever = warm.evaluate(colour)
    page.emulate_media(forced_colors="active")
    assert warm.evaluate(colour) == as_ever
    page.emulate_media(forced_colors="none", media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#alternatives").is_hidden()
    height = "sheet => sheet.scrollHeight - sheet.clientHeight"
    assert page.locator(".sheet").first.evaluate(height) <= 0


def test_a_compared_text_that_is_forked_tells_its_own_seed(page: Page) -> None:
    fill(page, length=60)
    press(page, "Compare")
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    page.locator(".column").nth(1).locator(".c").nth(9).click()
    page.locator("#alternatives button").first.click()
    page.locator("#status").get_by_text("60 characters").wait_for()
    seed = page.locator("#status").inner_text().split()[-1].rstrip(".")
    assert f"2.seed={seed}" in page.evaluate("location.hash")


def test_a_passage_is_scored_and_gone_on_with(page: Page, server: RunningServer) -> None:
    page.get_by_role("tab", name="Score").click()
    passage = "a cab (feed) bad\ncafe"
    page.get_by_label("Passage").fill(passage)
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    with server.client() as client:
        expected = client.post("/score", json={"text": passage}).json()["bits_per_character"]
    page.locator("#scored").get_by_text(f"{expected:.2f}").wait_for()
    assert content(page.locator("#scored .text")) == passage
    page.keyboard.press("Escape")
    page.get_by_text(f"{len(passage)} characters, ").wait_for()
    assert page.evaluate("location.hash").startswith("#passage=a+cab")
    page.locator("#scored .c").nth(6).click()
    page.locator("#alternatives button").first.click()
    page.get_by_text("500 characters").wait_for()
    assert content(page.locator("#columns .prime")) == passage[:6]


def test_a_link_brings_back_the_same_texts(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    fill(page, length=50, seed="", temperature="1.1")
    press(page, "Compare")
    press(page, "Generate")
    page.get_by_text("2 texts").wait_for()
    press(page, "Continue")
    wait_for_text(page, length=100)
    page.get_by_text("2 texts").wait_for()
    page.locator(".column").nth(1).locator(".c").nth(20).click()
    page.locator("#alternatives button").nth(3).click()
    page.get_by_text("50 characters, ").wait_for()
    texts = [content(text) for text in page.locator("#columns .text").all()]
    assert list(map(len, texts)) == [100, 71]
    with opened(browser, page.url) as other:
        other.get_by_text("2 texts").wait_for()
        assert [content(text) for text in other.locator("#columns .text").all()] == texts
        character(other, 99).wait_for()  # what the link brought has its colours too
        assert other.get_by_label("Prime").input_value() == "abc"


def test_a_link_may_leave_fields_as_they_are(browser: Browser, server: RunningServer) -> None:
    with opened(browser, f"{server.url}/#prime=hello&2.top_k=1&texts=2") as page:
        page.get_by_text("2 texts").wait_for()
        seed = int(page.locator("#status").inner_text().split()[-1].rstrip("."))
        texts = [content(text) for text in page.locator("#columns .text").all()]
        kinds: list[dict[str, Any]] = [{}, {"top_k": 1}]
        shared: dict[str, Any] = {"prime": "hello", "length": 500, "seed": seed}
        assert texts == [answer(server, **shared, **kind) for kind in kinds]
        assert page.get_by_label("Seed").input_value() == ""


def test_the_link_that_is_copied_leads_to_what_is_there(browser: Browser, tiny_path: Path) -> None:
    clipboard: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
    with (
        running_server(tiny_path, max_prime="100000") as wide,
        opened(browser, wide.url, **clipboard) as page,
    ):
        generate(page, prime="abc", length=30)
        address = page.url
        page.get_by_role("tab", name="Score").click()
        page.get_by_label("Passage").fill("abc")
        press(page, "Score")
        page.get_by_text("bits each").wait_for()
        page.get_by_role("tab", name="Write").click()
        press(page, "Copy link")
        page.get_by_text("Link copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == address != page.url
        generate(page, prime="😀" * 45_000, length=31)  # each takes 12 characters of an address
        press(page, "Copy link")
        page.get_by_text("This text is too long for a link.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == address


def test_a_link_of_another_model_says_so(browser: Browser, page: Page) -> None:
    text = generate(page, length=50, seed=3)
    other_model = page.url.split("model=")[0] + "model=0123456789abcdef&texts=1"
    with opened(browser, other_model, refusals=True) as other:
        other.get_by_text("another model").wait_for()
        assert text_of(other) == ""
        press(other, "Write it with this one")
        other.get_by_text("50 characters").wait_for()
        assert text_of(other) == text


def test_what_a_link_holds_comes_out_of_it_again(page: Page) -> None:
    words = st.text(st.characters(codec="utf-8"), max_size=20)
    fields = ("prime", "kept", "length", "top_k", "temperature", "top_p", "seed", "model")
    texts = st.lists(st.fixed_dictionaries(dict.fromkeys(fields, words)), min_size=1, max_size=3)

    @settings(max_examples=40, deadline=None)
    @given(texts=texts)
    def check(texts: list[dict[str, str]]) -> None:
        back = page.evaluate(
            """async (texts) => {
                const { linkOf, read } = await import("/static/permalink.js");
                return read(new URL(linkOf(texts), location).hash).texts;
            }""",
            texts,
        )
        assert back == texts

    check()


def test_bad_input_is_explained_beside_its_field(browser: Browser, server: RunningServer) -> None:
    with opened(browser, server.url, refusals=True) as page:
        page.get_by_text("LSTM over").wait_for()
        wrongs = {
            "length": ("0", "greater than or equal to 1"),
            "top_k": ("1.5", "a whole number was expected"),
            "temperature": ("", "a number was expected"),
            "top_p": ("2", "less than or equal to 1"),
            "seed": ("-1", "a whole number from 0"),
        }
        rights = {"length": 10, "top_k": 5, "temperature": 1, "top_p": "", "seed": 1}
        for name, (value, words) in wrongs.items():
            fill(page, **{**rights, name: value})
            press(page, "Generate")
            field = page.locator(f"#controls [name={name}][aria-invalid=true]")
            field.wait_for()
            assert words.lower() in page.locator(f"#{name}-error").inner_text().lower()
            assert field.evaluate("field => field === document.activeElement")
        fill(page, **rights, prime="aЖbü\x07Ж\u00a0")
        press(page, "Generate")
        page.get_by_text("The model does not know: Ж, ü, U+0007, U+00A0.").wait_for()
        press(page, "Replace or leave them out")
        page.locator("#status").get_by_text("Ready.").wait_for()
        assert page.get_by_label("Prime").input_value() == "abu "
        assert page.locator("[aria-invalid]").count() == 0
        assert generate(page, length=10)
        press(page, "Compare")
        second = page.locator(".column").nth(1)
        second.get_by_label("Temperature").fill("-1")
        press(page, "Generate")
        second.get_by_text("greater than or equal to 0").wait_for()
        page.locator("#stop[disabled]").wait_for()
        assert page.locator("#status").inner_text() == "B is not done: see Temperature."
        press(page, "Remove")
        assert page.locator("#status").inner_text() == "Ready."
        page.locator("#controls [name=top_k]").clear()
        page.locator("#controls [name=top_k]").press_sequentially("e")  # nothing, to a script
        press(page, "Generate")
        assert page.locator("#top_k-error").inner_text() == "A number was expected."


def test_a_stream_that_broke_goes_on_when_the_server_is_back(browser: Browser) -> None:
    port = str(free_port())
    with running_server(SHIPPED, port=port) as first, opened(browser, first.url, True) as page:
        page.get_by_role("switch", name="Show surprise").uncheck()
        fill(page, prime="abc", length=10_000, seed=9)
        press(page, "Generate")
        wait_for_text(page, more_than=10)
        first.process.kill()
        first.process.wait()
        page.get_by_text("Connection lost").wait_for()
        page.get_by_text("Next try in").wait_for()
        assert 10 < len(text_of(page)) < 10_000
        with running_server(SHIPPED, port=port) as second:
            page.get_by_text("10,000 characters").wait_for(timeout=120_000)
            assert text_of(page) == answer(second, prime="abc", length=10_000, seed=9)


@contextmanager
def occupied(server: RunningServer, others: int) -> Iterator[None]:
    """The server's one slot is taken for a while, and so many short requests wait behind it."""

    def read(length: int, begun: threading.Event) -> None:
        ask = {"length": length}
        with server.client() as client, client.stream("GET", "/generate", params=ask) as response:
            begun.set()
            for _ in response.iter_bytes():
                pass

    readers = []
    for length in [6_000] + [1] * others:
        begun = threading.Event()
        readers.append(threading.Thread(target=read, args=(length, begun)))
        readers[-1].start()
        begun.wait(20)
    yield
    for reader in readers:
        reader.join()


def test_a_full_server_is_asked_again_when_it_says(browser: Browser, narrow: RunningServer) -> None:
    with opened(browser, narrow.url, refusals=True) as page:
        fill(page, prime="abc", length=30)
        with occupied(narrow, others=2):
            press(page, "Generate")
            page.get_by_text("The server takes no more just now").wait_for()
            page.get_by_text("Next try in").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def test_who_waits_is_told_how_many_are_ahead(browser: Browser, narrow: RunningServer) -> None:
    with opened(browser, narrow.url) as page:
        fill(page, prime="abc", length=30)
        with occupied(narrow, others=1):
            press(page, "Generate")
            page.get_by_text("In the queue, 1 ahead").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def test_a_server_that_wants_a_key_gets_it(browser: Browser, tiny_path: Path) -> None:
    with (
        running_server(tiny_path, api_keys=SECRET) as locked,
        opened(browser, locked.url, refusals=True) as page,
    ):
        dialog = page.get_by_role("dialog", name="This server wants a key")
        dialog.wait_for()
        page.keyboard.press("Escape")
        page.locator("#card").get_by_text("this server wants a key").wait_for()
        fill(page, prime="abc", length=30)
        press(page, "Generate")
        dialog.wait_for()
        press(page, "Not now")
        page.locator("#status").get_by_text("wants a key").wait_for()
        press(page, "Generate")
        dialog.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        dialog.get_by_text("does not know this key").wait_for()
        dialog.get_by_label("API key").fill(SECRET)
        press(page, "Use this key")
        page.locator("#status").get_by_text("30 characters").wait_for()
        page.get_by_text("LSTM over").wait_for()
        page.reload()
        page.locator("#status").get_by_text("30 characters").wait_for()
        assert SECRET not in page.url
        page.get_by_text("LSTM over").wait_for()
        assert page.get_by_text("Model card as JSON").is_hidden(), "a link brings no key"


def test_the_page_works_without_the_model_card(browser: Browser, server: RunningServer) -> None:
    with opened(browser, server.url, refusals=True) as page:
        page.route("**/info", lambda route: route.abort())
        page.reload()
        page.get_by_text("The model card could not be read").wait_for()
        assert len(generate(page, prime="abc", length=30)) == 30
        page.unroute("**/info")
        press(page, "Read it again")
        page.get_by_text("LSTM over").wait_for()
        assert page.get_by_label("Length").get_attribute("max") == "5000"
        page.get_by_role("link", name="Model card as JSON").click()
        assert page.url.endswith("/info")


def test_the_card_tells_what_computes(page: Page, server: RunningServer) -> None:
    with server.client() as client:
        info = client.get("/info").json()
    page.get_by_text(f"{info['device']} in {info['precision']} by {info['kernel']}").wait_for()


def test_a_server_that_shuts_down_is_waited_for(browser: Browser, server: RunningServer) -> None:
    draining = {"detail": "the service is shutting down", "code": "draining"}
    cut = 'event: error\ndata: {"detail": "it is shutting down", "code": "draining"}\n\n'

    def refuse(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "1"}, body=json.dumps(draining))

    def cut_off(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=cut)

    for trouble in (refuse, cut_off):
        with opened(browser, server.url, refusals=True) as page:
            page.route("**/generate", trouble, times=1)
            fill(page, prime="abc", length=30)
            press(page, "Generate")
            page.get_by_text("Next try in").wait_for()
            page.locator("#status").get_by_text("30 characters").wait_for(timeout=120_000)


def test_a_screen_reader_hears_of_states_and_not_of_characters(page: Page) -> None:
    page.evaluate(
        """() => {
            window.said = 0;
            for (const region of document.querySelectorAll("[role=status], [aria-live]")) {
                new MutationObserver(() => (window.said += 1)).observe(
                    region, { childList: true, characterData: true, subtree: true },
                );
            }
        }"""
    )
    generate(page, length=500)
    assert page.evaluate("window.said") <= 4
    assert page.locator("#text").evaluate("text => !text.closest('[aria-live], [role=status]')")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, server: RunningServer, theme: str) -> None:
    with opened(browser, server.url, refusals=True, color_scheme=theme) as page:
        page.get_by_text("LSTM over").wait_for()
        found = findings(page)
        generate(page, prime="abc", length=150, top_k="", temperature=2)
        character(page, 9).hover()
        found += findings(page)
        press(page, "Compare")
        fill(page, length=0)
        press(page, "Generate")
        page.locator("[aria-invalid]").first.wait_for()
        found += findings(page)
        page.get_by_role("tab", name="Score").click()
        page.get_by_label("Passage").fill("abc")
        press(page, "Score")
        page.get_by_text("bits each").wait_for()
        found += findings(page)
        page.evaluate("document.querySelector('#key-dialog').showModal()")
        assert not found + findings(page)


def findings(page: Page) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations]


def test_the_page_may_do_nothing_but_what_it_does(server: RunningServer) -> None:
    answers = [httpx.get(server.url + path, trust_env=False) for path in ("/", "/static/main.js")]
    for each in answers:
        policy = each.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert each.headers["x-content-type-options"] == "nosniff"
    for inline in ("<style", " style=", " onclick=", "<script>"):
        assert inline not in answers[0].text


def test_the_documentation_asks_no_other_host(browser: Browser, server: RunningServer) -> None:
    with opened(browser, f"{server.url}/docs") as page:
        page.get_by_text("Generate text", exact=True).wait_for()
        page.get_by_text("/v1/completions", exact=True).wait_for()
