"""Texts of several models on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from tests.app.page import playground as ui
from tests.app.several_models import OPERATOR, make_folder, save_model
from tests.conftest import make_checkpoint_of
from tests.server import RunningServer, running_server

FIELDS: dict[str, Any] = {"prime": "abc", "length": 60, "seed": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """A server with two models."""
    with running_server(folder) as server:
        yield server


@pytest.fixture
def page(page: Page) -> Page:
    page.get_by_label("Model", exact=True).wait_for()
    return page


def choose(page: Page, name: str) -> None:
    page.locator("#model-choice").select_option(name)
    page.get_by_text(f"{name}: ").wait_for()  # in the heading


def test_the_choice_decides_which_model_writes_and_which_card_is_shown(
    page: Page, server: RunningServer, folder: Path
) -> None:
    assert page.locator("#model-choice option").all_inner_texts() == ["ada", "bob"]
    assert ui.generate(page, **FIELDS) == ui.api_text(server, **FIELDS, model="ada")
    choose(page, "bob")
    assert ui.generate(page, **FIELDS) == ui.api_text(server, **FIELDS, model="bob")
    model_hash = load_checkpoint(folder / "bob.safetensors").hash
    assert f"model={model_hash}" in page.evaluate("location.hash")
    assert page.locator("#card").get_by_text(model_hash).is_visible()
    ui.score(page, "abcabc")
    page.locator("#score-status").get_by_text("6 characters").wait_for()
    assert f"model={model_hash}" in page.evaluate("location.hash")


def test_compared_texts_can_come_from_different_models_and_a_link_repeats_them(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    ui.fill(page, **FIELDS)
    ui.press(page, "Compare")  # with the same settings and the other model
    column = page.locator(".column").nth(1)
    ui.generate_texts(page, 2)
    texts = ui.texts_of(page)
    assert texts == [ui.api_text(server, **FIELDS, model=name) for name in ("ada", "bob")]
    assert column.get_by_text("bob: top-k 5").is_visible()
    with ui.opened(browser, page.url) as other:
        other.get_by_text("2 texts").wait_for()
        assert ui.texts_of(other) == texts
        choice = other.locator(".column").nth(1).get_by_label("Model")
        assert choice.locator("option:checked").inner_text() == "bob"
        ui.press(other, "Generate")  # with the models of the form and of the column
        other.get_by_text("2 texts").wait_for()
        assert ui.texts_of(other) == texts


def test_compared_texts_name_their_models_when_the_list_arrives_after_them(
    browser: Browser, page: Page, server: RunningServer
) -> None:
    ui.fill(page, **FIELDS)
    ui.press(page, "Compare")
    ui.generate_texts(page, 2)
    with ui.opened(browser, page.url) as other:
        late = ui.held_request(other, "**/models", other.reload)
        other.get_by_text("2 texts").wait_for()
        late.continue_()
        for name in ("ada", "bob"):
            other.get_by_text(f"{name}: top-k 5, temperature 1").wait_for()


def reload(server: RunningServer) -> None:
    """Load the checkpoints again."""
    with server.client() as client:
        client.post("/reload", headers=OPERATOR).raise_for_status()


def test_the_choice_follows_a_reload(browser: Browser, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with (
        running_server(folder, admin_keys="operator") as server,
        ui.opened(browser, server.url, expect_failures=True) as page,
    ):
        choose(page, "bob")
        ui.generate(page, **FIELDS)
        save_model(folder, "bob", 3)
        reload(server)
        ui.press(page, "Generate")
        page.get_by_text("This was made with another model.").wait_for()
        ui.press(page, "Generate with this model")
        page.locator("#status").get_by_text("60 characters").wait_for()
        assert ui.text_of(page) == ui.api_text(server, **FIELDS, model="bob")
        save_model(folder, "bob", 4)
        save_model(folder, "cid", 5)
        reload(server)
        page.locator("#model-choice").focus()
        page.locator("#model-choice option", has_text="cid").wait_for(state="attached")
        assert page.locator("#model-choice option:checked").inner_text() == "bob"
        text_head = page.locator(".column-head").first
        assert "bob: top-k 5" in ui.content(text_head), "though its model is no longer in the list"
        field = page.get_by_label("Your text")
        page.get_by_role("tab", name="Type").click()
        save_model(folder, "bob", 6)
        reload(server)
        with page.expect_request("**/suggest") as request:
            field.press("a")
        assert '"model":"bob"' in str(request.value.post_data), "the name is still the same"
        page.locator("#suggestions").wait_for()
        (folder / "bob.safetensors").unlink()
        reload(server)
        field.press("b")
        page.locator("#model-choice option:checked", has_text="ada").wait_for(state="attached")
        page.locator("#suggestions:not(.outdated)").wait_for()


def test_an_unknown_character_is_one_that_the_text_s_own_model_does_not_know(
    browser: Browser, tmp_path: Path
) -> None:
    save_model(tmp_path, "ada", 1)
    save_checkpoint(make_checkpoint_of("\nab"), tmp_path / "eve.safetensors")
    with (
        running_server(tmp_path) as server,
        ui.opened(browser, server.url, expect_failures=True) as page,
    ):
        page.get_by_label("Model", exact=True).wait_for()
        ui.fill(page, prime="abc", length=60)
        ui.press(page, "Compare")
        ui.press(page, "Generate")
        page.get_by_text("The model eve does not know:").wait_for()
        assert "c\u00a0(U+0063)." in ui.content(page.locator("#prime-error")), (
            "without a line break"
        )
        ui.press(page, "Replace or remove them")
        page.locator("#status").get_by_text("2 texts").wait_for()
        assert page.get_by_label("Prime").input_value() == "ab"


@ui.failures_expected
def test_trying_again_also_reads_the_list_of_models(page: Page) -> None:
    page.route("**/info", lambda route: route.abort())
    page.reload()
    page.get_by_text("The model card could not be read.").wait_for()
    page.unroute("**/info")
    ui.press(page, "Try again")
    page.get_by_label("Model", exact=True).wait_for()


@pytest.mark.parametrize(
    "failure", [Route.abort, lambda route: route.fulfill(status=503)], ids=["broken", "busy"]
)
@ui.failures_expected
def test_the_list_of_models_is_read_again_if_that_has_failed_once(
    page: Page, failure: Callable[[Route], None]
) -> None:
    page.get_by_label("Model", exact=True).wait_for()
    page.route("**/models", lambda route: failure(route), times=1)
    with page.expect_request("**/models"):
        page.reload()
    page.get_by_label("Model", exact=True).wait_for()


def busy(route: Route) -> None:
    route.fulfill(status=503, headers={"Retry-After": "600"})


@ui.failures_expected
def test_the_list_of_models_is_not_retried_for_long(page: Page) -> None:
    """A second stands for the minute after which the page gives up."""
    choice = page.get_by_label("Model", exact=True)
    page.evaluate(
        "const timeout = AbortSignal.timeout.bind(AbortSignal);"
        "AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 60);"
    )
    page.route("**/models", busy, times=1)
    with page.expect_request("**/models"):
        choice.focus()
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status))

    def a_click_has_read_the_list() -> bool:
        choice.blur()
        choice.focus()
        return 200 in statuses

    ui.wait_until(page, a_click_has_read_the_list)


@ui.failures_expected
def test_the_card_of_another_model_does_not_wait_for_the_list(page: Page) -> None:
    page.get_by_label("Model", exact=True).wait_for()
    page.route("**/models", busy)
    page.route(
        "**/generate",
        lambda route: route.fulfill(status=409, json={"code": "other_model"}),
    )
    with page.expect_response("**/info?model=*"):
        ui.press(page, "Generate")


def test_the_card_is_that_of_the_model_that_was_chosen_last(page: Page, folder: Path) -> None:
    hashes = {name: load_checkpoint(folder / f"{name}.safetensors").hash for name in ("ada", "bob")}
    choice = page.locator("#model-choice")
    late = ui.held_request(
        page, f"**/info?model={hashes['bob']}", lambda: choice.select_option("bob")
    )
    with page.expect_response(f"**/info?model={hashes['ada']}"):
        choice.select_option("ada")
    with page.expect_response(f"**/info?model={hashes['bob']}"):
        late.continue_()
    page.wait_for_timeout(300)
    assert page.locator("#card").get_by_text(hashes["ada"]).is_visible()
    assert page.get_by_role("link", name="Model card as JSON").get_attribute("href") == (
        f"info?model={hashes['ada']}"
    )


def test_a_click_on_the_choice_reads_the_list_once(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    with page.expect_response("**/models"):
        page.locator("#model-choice").click()
    page.wait_for_timeout(300)
    assert [url.rpartition("/")[2] for url in requests] == ["models"]


@ui.with_clipboard
def test_a_copied_command_names_the_model(page: Page) -> None:
    choose(page, "bob")
    command = ui.copied(page, "Copy as curl")
    value = page.locator("#model-choice").input_value()
    assert f'"model":"{value}"' in command


def test_a_server_with_one_model_has_no_choice(charted_page: Page) -> None:
    ui.press(charted_page, "Compare")
    assert not charted_page.locator(".model-choice").first.is_visible()
    assert not charted_page.locator(".model-choice").nth(1).is_visible()
    assert ui.text_of(charted_page) == ""
