"""The report in a real browser: it opens without a problem, and the slider moves the object."""

import numpy as np
import pytest
from untrained import Untrained, objects

from rotdis.evaluate import evaluate
from rotdis.report import write_report

# canvases: input, canonical form, reconstruction
INPUT, CANONICAL, RECONSTRUCTION = (f".panels figure:nth-child({n}) canvas" for n in (1, 2, 3))
_NO_WEBGL = """
const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : original.call(this, kind, ...rest);
};"""
_NO_STREAMS = "delete window.DecompressionStream;"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    test = objects()
    evaluation = evaluate(Untrained(), test, (), seed=0, batch_size=4, max_train=0)
    folder = tmp_path_factory.mktemp("run")
    return write_report(folder, Untrained(), test, evaluation, per_class=2)


@pytest.fixture
def shown(browser, page):
    browser.open(page)
    _wait(browser)
    return browser


def _wait(browser, **state):
    """Waits until the view shows what it is to show; it says so in data attributes."""
    browser.wait("document.getElementById('viewer').dataset.frame")
    for name, value in state.items():
        browser.wait(f"document.getElementById('viewer').dataset.{name} === '{value}'")


def _state(browser):
    return browser.run("return {...document.getElementById('viewer').dataset}")


def _slide(browser, degrees):
    browser.run(
        "const slider = document.getElementById('viewer-angle'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        degrees,
    )
    _wait(browser, degrees=degrees % 360)


def _difference(one, two):
    return np.abs(one.astype(int) - two).max(axis=-1)


def _inked(picture):
    return _difference(picture, picture[0, 0]) > 24


def test_it_opens_without_a_problem_and_asks_for_nothing(shown, page):
    assert shown.problems() == []
    assert shown.requests()
    assert all(url.startswith("data:") or url == page.as_uri() for url in shown.requests())
    images = "[...document.images].map(i => (i.loading = 'eager', i.decode()))"
    shown.driver.execute_async_script(f"Promise.all({images}).then(arguments[0])")
    assert shown.run("return [...document.images].every(i => i.naturalWidth > 0)")


def test_objects_are_drawn(shown):
    assert _state(shown)["renderer"] == "webgl"
    for canvas in (INPUT, CANONICAL, RECONSTRUCTION):
        assert 0.03 < _inked(shown.picture(canvas)).mean() < 0.7


def test_the_slider_turns_the_object(shown):
    before = {canvas: shown.picture(canvas) for canvas in (INPUT, RECONSTRUCTION)}
    _slide(shown, 90)
    assert (_difference(shown.picture(INPUT), before[INPUT]) > 24).mean() > 0.03
    # The model reconstructs the same ball from every view.
    assert _difference(shown.picture(RECONSTRUCTION), before[RECONSTRUCTION]).max() < 8
    assert "turned by 90\u00b0" in shown.find("#viewer output").text
    _slide(shown, 360)
    assert _difference(shown.picture(INPUT), before[INPUT]).max() < 8


def test_keys_move_the_slider_and_the_camera(shown):
    shown.find("#viewer-angle").send_keys("\ue014")  # right
    _wait(shown, degrees=10)
    assert shown.find("#viewer-angle").get_attribute("aria-valuetext") == "10 degrees"
    shown.find(INPUT).send_keys("\ue012")  # left
    _wait(shown, azimuth=-50)
    shown.find(INPUT).send_keys("\ue013")  # up
    _wait(shown, elevation=16)
    shown.find("[data-reset]").click()
    _wait(shown, azimuth=-58, elevation=24)


def test_a_drag_looks_from_another_side(shown):
    from selenium.webdriver import ActionChains

    before = shown.picture(RECONSTRUCTION), shown.picture(CANONICAL)
    ActionChains(shown.driver).drag_and_drop_by_offset(shown.find(INPUT), 80, 0).perform()
    shown.wait("document.getElementById('viewer').dataset.azimuth !== '-58'")
    assert (_difference(shown.picture(CANONICAL), before[1]) > 24).mean() > 0.02
    assert (_inked(shown.picture(RECONSTRUCTION)) != _inked(before[0])).mean() < 0.02


def test_another_object_can_be_chosen(shown):
    before = shown.picture(INPUT)
    shown.find(".choices label:nth-of-type(2)").click()
    _wait(shown, object=1)
    assert (_difference(shown.picture(INPUT), before) > 24).mean() > 0.03


def test_it_turns_by_itself_until_stopped(shown):
    button = shown.find("[data-play]")
    button.click()
    _wait(shown, degrees=30)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    stopped = _state(shown)["degrees"]
    shown.driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert _state(shown)["degrees"] == stopped


@pytest.fixture
def crippled(browser, page):
    """Opens the page after a script that takes something from the browser."""
    added = []

    def open_after(script):
        command = "Page.addScriptToEvaluateOnNewDocument"
        added.append(browser.command(command, source=script)["identifier"])
        browser.open(page)
        return browser

    yield open_after
    for identifier in added:
        browser.command("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)


def test_without_webgl_the_same_is_drawn_and_turned(shown, crippled):
    with_webgl = _inked(shown.picture(INPUT))
    browser = crippled(_NO_WEBGL)
    _wait(browser)
    assert _state(browser)["renderer"] == "canvas"
    before = browser.picture(INPUT)
    without = _inked(before)
    assert (with_webgl & without).sum() / (with_webgl | without).sum() > 0.9
    _slide(browser, 90)
    assert (_difference(browser.picture(INPUT), before) > 24).mean() > 0.03
    assert browser.problems() == []


def test_a_browser_that_cannot_unpack_is_told(crippled):
    browser = crippled(_NO_STREAMS)
    browser.wait("document.getElementById('viewer').dataset.renderer === 'none'")
    assert "cannot show the objects in 3-D" in browser.find("#viewer [role=status]").text
    assert browser.problems() == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways(browser, page, dark):
    browser.open(page, width=360, height=740, dark=dark)
    _wait(browser)
    assert browser.run("return document.documentElement.scrollWidth") == 360
    paper = browser.picture()[2, 2]
    assert (paper < 60).all() if dark else (paper == 255).all()
    assert _inked(browser.picture(CANONICAL)).mean() > 0.03


def test_what_can_be_used_has_a_name(shown):
    nameless = shown.run(
        "return [...document.querySelectorAll('canvas, input, button, svg, img, [tabindex]')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.alt || e.textContent.trim()"
        " || e.labels?.length)).map(e => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []
