"""Screen readers, print and forced colors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Locator, Page

from tests.app.page import playground as ui


def test_colors_are_kept_in_print_and_in_forced_colors_mode(page: Page) -> None:
    ui.generate(page, length=300, seed=7)
    warm = page.locator("#text .c:is(.s2, .s3, .s4, .s5, .s6)").first
    color = "element => getComputedStyle(element).backgroundColor"
    before = warm.evaluate(color)
    page.emulate_media(forced_colors="active")
    assert warm.evaluate(color) == before
    page.emulate_media(forced_colors="none", media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("#alternatives").is_hidden()
    height = "sheet => sheet.scrollHeight - sheet.clientHeight"
    assert page.locator(".sheet").first.evaluate(height) <= 0


def test_a_screen_reader_announces_states_and_not_characters(page: Page) -> None:
    page.evaluate(
        """() => {
            window.announcements = 0;
            for (const region of document.querySelectorAll("[role=status], [aria-live]")) {
                new MutationObserver(() => (window.announcements += 1)).observe(
                    region, { childList: true, characterData: true, subtree: true },
                );
            }
        }"""
    )
    ui.generate(page, length=500)
    assert page.evaluate("window.announcements") <= 4
    assert page.locator("#text").evaluate("text => !text.closest('[aria-live], [role=status]')")


@ui.failures_expected
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    found = findings(page)
    ui.generate(page, prime="abc", length=150, top_k="", temperature=2, seed=5)
    ui.character(page, 99).click()  # unlike pointing, this keeps the alternatives
    found += findings(page)
    page.locator("#alternatives button").nth(1).click()
    page.locator(".kept").nth(99).wait_for()  # gray, on each color that may be below
    found += findings(page)
    page.locator("#export summary").click()
    found += findings(page)
    ui.press(page, "Compare")
    ui.fill(page, length=0)
    ui.press(page, "Generate")
    page.locator("[aria-invalid]").first.wait_for()
    found += findings(page)
    ui.score(page, "abc")
    page.locator("#score-status").get_by_text("bits per character").wait_for()
    found += findings(page)
    ui.choose_memory(page, "Both")
    found += findings(page)
    page.get_by_role("tab", name="Type").click()
    page.get_by_label("Your text").fill("abc")
    page.locator("#suggestions:not(.outdated)").wait_for()
    page.keyboard.press("ArrowDown")
    # HTML has no element for a combobox of several lines. Browsers support this role here.
    area = 'aria-allowed-role: <textarea id="typed"'
    found += [each for each in findings(page) if not each.startswith(area)]
    page.evaluate("document.querySelector('#key-dialog').showModal()")
    assert not found + findings(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_cell_lens(charted_page: Page, theme: Any) -> None:
    page = charted_page
    page.emulate_media(color_scheme=theme)
    ui.generate(page, prime="abc", length=150, top_k="", temperature=2)
    ui.look_through(page, "Cells")
    page.locator("#columns figure").wait_for()
    found = findings(page)
    page.get_by_label("Hold at").fill("-2")
    page.locator(".column").nth(1).locator("figure").wait_for()
    found += findings(page)
    page.get_by_role("group", name="Generated text A").focus()
    page.keyboard.press("End")
    page.keyboard.press("Shift+ArrowLeft")
    ui.press(page, "Find cells")
    page.get_by_text("8 cells found.").wait_for()
    assert not found + findings(page)


@pytest.mark.page(forced_colors="active")
def test_without_colors_lines_tell_the_sign_of_a_cell(charted_page: Page) -> None:
    ui.generate(charted_page, length=300, top_k="", temperature=1.5, seed=7)
    ui.look_through(charted_page, "Cells")
    line = "element => getComputedStyle(element).textDecorationLine"
    for name, expected in (("n", "underline"), ("p", "overline")):
        levels = ", ".join(f".{name}{number}" for number in range(1, 5))
        for place in (charted_page.locator("#text"), charted_page.locator(".cell-legend").first):
            assert place.locator(levels).first.evaluate(line) == expected


def test_each_compared_text_has_controls_with_names_of_their_own(page: Page) -> None:
    ui.press(page, "Compare")
    ui.press(page, "Compare with a third")
    for letter in ("B", "C"):
        form = page.get_by_role("form", name=f"Settings of text {letter}", exact=True)
        assert form.get_by_label("Top-k").is_visible()
        remove = page.get_by_role("button", name=f"Remove text {letter}", exact=True)
        assert remove.inner_text() == "Remove", "voice control finds it by its label"
    ui.press(page, "Remove text B")
    assert page.get_by_role("button", name="Remove text").count() == 1
    assert page.get_by_role("form", name="Settings of text B", exact=True).is_visible()


def findings(page: Page) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_line_ends_have_contrast_on_every_color(page: Page, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    ui.generate(page, prime="abc", length=10)
    page.locator("#text").evaluate(
        """text => {
            for (let level = 0; level <= 6; level += 1) {
                for (const name of [`s${level}`, `n${level}`, `p${level}`]) {
                    const element = document.createElement("span");
                    element.className = `c newline ${name}`;
                    text.append(element);
                }
            }
        }"""
    )
    for name in [f"{sign}{number}" for sign in "np" for number in range(1, 5)]:
        assert contrast(page.locator(f"#text .newline.{name}").last, "") >= 4.5
    for level in range(7):
        element = page.locator(f"#text .newline.s{level}").last
        for pseudo in ("", "::before"):
            assert contrast(element, pseudo) >= 4.5
        assert contrast(page.locator(f"#legend .s{level}"), "") >= 4.5
        if theme == "dark" and level:
            before = page.locator(f"#legend .s{level - 1}")
            assert ratio(background(before), background(page.locator(f"#legend .s{level}"))) > 1.15
    steps = page.locator("#legend i").all_inner_texts()
    assert steps == ["0", "1", "2", "3", "4", "5", "6+"], "the steps have labels"


def contrast(element: Locator, pseudo: str) -> float:
    """The contrast ratio of an element's text, or its pseudo-element's, as WCAG defines it."""
    color: str = element.evaluate(
        "(element, pseudo) => getComputedStyle(element, pseudo).color", pseudo
    )
    return ratio(color, background(element))


def background(element: Locator) -> str:
    """The background of an element, or that of the texts if it is transparent."""
    color: str = element.evaluate(
        """element => {
            const { backgroundColor } = getComputedStyle(element);
            const sheet = getComputedStyle(document.querySelector(".sheet"));
            return backgroundColor === "rgba(0, 0, 0, 0)" ? sheet.backgroundColor : backgroundColor;
        }"""
    )
    return color


def ratio(*colors: str) -> float:
    dark, light = sorted(map(luminance, colors))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
