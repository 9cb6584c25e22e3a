"""The page in a real browser: it shows an object, and its controls change what is seen."""

import numpy as np
import pytest
from explore.boxes import box_set, tiny_model

pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")
pytest.importorskip("websockets")
from rotdis.explore import server  # noqa: E402  (needs websockets)
from rotdis.explore.explorer import Explorer  # noqa: E402


@pytest.fixture(scope="module")
def address():
    with server.in_background(Explorer(tiny_model(), box_set(), "boxes", "tiny")) as address:
        yield address


@pytest.fixture
def page(browser, address):
    browser.open(address, width=1000, height=700)
    browser.wait("document.body.dataset.shown > 0", 60)
    _settle(browser)
    yield browser
    assert browser.problems() == []


def _settle(browser):
    """Waits until what was asked for, which happens with the next frame, is answered and drawn."""
    _draw_two_frames(browser)
    browser.wait("document.body.dataset.shown === document.body.dataset.asked", 60)
    _draw_two_frames(browser)


def _draw_two_frames(browser):
    browser.driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def _changes(browser, action):
    """Returns the share of the scene's pixels that an action changes."""
    before = browser.picture("#stage").astype(int)
    action()
    _settle(browser)
    return (np.abs(browser.picture("#stage") - before).max(axis=2) > 24).mean()


def _set(browser, name, value):
    browser.run(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input'))",
        name,
        value,
    )


def test_an_object_is_shown_and_nothing_is_asked_of_other_machines(page, address):
    assert page.run("return document.body.dataset.object") == "box_0001"  # the first chair
    scene = page.picture("#stage").astype(int)
    blue, orange = ([row, column] for row, column in ((2, 0), (0, 2)))
    for high, low in (blue, orange):  # the input, and its canonical form
        assert (scene[..., high] - scene[..., low] > 30).mean() > 0.005
    assert "moved" in page.find("#label-canonical").text
    others = [one for one in page.requests() if not one.startswith((address, "data:"))]
    assert not others


def test_a_slider_turns_the_input(page):
    assert _changes(page, lambda: _set(page, "angle-z", 130)) > 0.005
    assert page.find("#angle-z + output").text.startswith("130")
    assert "ms (median)" in page.find("#latency").text


def test_dragging_the_gizmo_turns_the_input(page):
    from selenium.webdriver import ActionChains

    canvas = page.find("#canvas")
    label = page.find("#label-input").rect
    x = label["x"] + label["width"] / 2 - canvas.rect["width"] / 2

    def drag():
        actions = ActionChains(page.driver, duration=20)
        actions.move_to_element_with_offset(canvas, round(x), 0).click_and_hold()
        actions.move_by_offset(15, 10).move_by_offset(15, 10).release().perform()

    angles = "return ['x', 'y', 'z'].map((a) => document.getElementById(`angle-${a}`).value)"
    before = page.run(angles)
    assert _changes(page, drag) > 0.002
    assert page.run(angles) != before


def test_decoding_freely_shows_two_forms_and_draws_new_ones(page):
    page.run("document.querySelector('input[value=decode]').click()")
    _settle(page)
    assert not page.find("#label-input").is_displayed()
    assert page.find("#label-decoded b").text == "Decoded and turned"
    shown = page.run("return document.body.dataset.shown")
    page.find("#sample").click()
    page.wait(f"document.body.dataset.shown > {shown}")


def test_a_dropped_mesh_is_shown_and_a_broken_one_is_said_to_be(page):
    drop = (
        "const data = new DataTransfer(); data.items.add(new File([arguments[0]], arguments[1]));"
        "window.dispatchEvent(new DragEvent('drop', { dataTransfer: data }))"
    )
    page.run(drop, trimesh.creation.box((1, 2, 4)).export(file_type="off"), "tall.off")
    page.wait("document.body.dataset.object === 'tall'")
    assert page.run("return document.getElementById('objects').selectedOptions[0].text") == "tall"
    page.run(drop, "OFF\n3 1 0\n0 0", "broken.off")
    page.wait("document.getElementById('notice').textContent.startsWith('broken')")
    assert page.find("#notice").text.startswith("broken.off: line 3")
    assert page.run("return document.body.dataset.object") == "tall"
    page.run(drop.replace("[arguments[0]]", "[new Uint8Array(20000001)]"), "", "big.stl")
    page.wait("document.getElementById('notice').textContent.startsWith('big.stl')")
    assert "the limit is 20 MB" in page.find("#notice").text


def test_what_is_shown_is_downloaded(page, tmp_path):
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    _set(page, "parts", "input")
    page.run("[...document.querySelectorAll('#exports button')].at(-1).click()")
    path = tmp_path / "box_0001_input.stl"
    for _ in range(200):
        if path.exists():
            break
        page.driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert trimesh.load_mesh(path).is_watertight


def test_once_the_server_has_ended_nothing_hides_that(browser):
    explorer = Explorer(tiny_model(), box_set(), "boxes", "tiny")
    with server.in_background(explorer) as address:
        browser.open(address, width=1000, height=700)
        browser.wait("document.body.dataset.shown > 0", 60)
    browser.wait("document.getElementById('notice').textContent.includes('Reload')", 60)
    for name in ("mine.obj", "mine.xyz"):
        browser.run(
            "const given = new DataTransfer(); given.items.add(new File(['v'], arguments[0]));"
            "const input = document.getElementById('file'); input.files = given.files;"
            "input.dispatchEvent(new Event('change'))",
            name,
        )
        notice = browser.run("return document.getElementById('notice').textContent")
        assert notice.startswith("The connection is closed")
    assert browser.problems() == []
