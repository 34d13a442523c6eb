"""The player with images, versions and histograms, mounted alone in a real Chromium: what is seen is what was sent."""

from __future__ import annotations

import base64
import re
import time

import numpy as np
import pytest
from PIL import Image

from pages.ui.components.player import Histogram, Images, Number, Panel, Stage
from tests.browser.conftest import Server, Visit

F, S = 11, 8
DEMO = """
import streamlit as st

from pages.ui.components.player import clean_pick, pack, player, unpack
from tests.browser.test_image_player import S, stage

st.set_page_config(layout="wide")
st.title("Player")
payload = pack(stage(st.query_params["case"], st.number_input("Versions", 1, 30, S)))
result = player(payload, key="player", on_pick=lambda: None)
if result.pick:
    st.session_state["pick"] = clean_pick(result.pick, unpack(payload)[0])
st.text(f"Picked: {st.session_state.get('pick')}")
"""


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def stage(case: str, versions: int = S) -> Stage:
    """What the demo shows at ?case=…; the tests compare the canvas with it."""
    times = list(range(F))
    counts = np.random.default_rng(4).random((F, 12))
    card = Histogram("Values", np.linspace(-3, 3, 13), counts, np.full(12, 0.5), "a note", "data")
    if case == "grey":
        return Stage((Images("digits", "digits", "data", pixels(F, 4, 14, 10), columns=2),), times, F - 1, readouts=(card,))
    if case == "colour":
        lettered = Images("digits", "digits", "data", pixels(F, 6, 16, 16, 3), captions=list("abcdef"))
        return Stage((lettered, Images("other", "other", "data", pixels(F, 4, 14, 10))), times, F - 1)
    if case == "many":
        return Stage((Images("digits", "digits", "data", pixels(F, 64, 28, 28)),), times, F - 1, readouts=(card,))
    if case == "bits":
        raster = Images("raster", "raster", "model", pixels(F, 1, 12, 20) % 2, bits=True)
        return Stage((raster, Images("digits", "digits", "data", pixels(F, 4, 8, 8) % 2, bits=True)), times, F - 1)
    if case == "fast":
        return Stage((Images("digits", "digits", "data", pixels(80, 64, 28, 28)),), range(80), 79, duration=20)
    if case == "photo":
        large = pixels(2, 1, 20, 20, 3).repeat(25, 2).repeat(25, 3)
        return Stage((Images("digits", "photo", "data", large),), [0, 1], 1)
    # every version and frame has a grey of its own
    grey = 10 * np.arange(versions)[:, None] + np.arange(F)
    x = np.broadcast_to(grey.astype(np.uint8)[:, :, None, None, None], (versions, F, 4, 8, 8))
    plane = Panel("plane", "plane", "model", np.random.default_rng(5).normal(size=(versions, F, 500, 2)))
    return Stage(
        (Images("digits", "digits", "data", x), plane), times[::-1], F - 1,
        readouts=(Number("Loss", grey / 100, 2, spark=True),), versions=[str(50 * v) for v in range(versions)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The address of the demo, served on a free port."""
    script = tmp_path_factory.mktemp("demo") / "demo.py"
    script.write_text(DEMO)
    running = Server(script.parent, script)
    yield running.url
    running.stop()


@pytest.fixture
def show(demo, browser):
    """Opens one case of the demo: the visit and its player."""
    opened: list[Visit] = []

    def make(case: str, **options):
        one = Visit(browser, demo, **options)
        opened.append(one)
        one.open(f"/?case={case}")
        return one, one.stage()

    yield make
    for one in opened:
        one.close()


def canvas_pixels(player, number: int = 0) -> np.ndarray:
    """The canvas itself, in device pixels: [H, W, 4]."""
    read = """e => { const {width, height} = e, {data} = e.getContext('2d').getImageData(0, 0, width, height)
        let text = ''
        for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192))
        return [width, height, btoa(text)] }"""
    width, height, text = player.locator("canvas").nth(number).evaluate(read)
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width, 4)


def runs(opaque: np.ndarray) -> list[tuple[int, int]]:
    """Beginning and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], opaque.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def cells(seen: np.ndarray) -> list[np.ndarray]:
    """The separate pictures on a canvas, row by row."""
    opaque = seen[..., 3] > 0
    out = []
    for top, bottom in runs(opaque.any(1)):
        out += [seen[top:bottom, left:right] for left, right in runs(opaque[top:bottom].all(0))]
    return out


def enlarged(image: np.ndarray, times: int) -> np.ndarray:
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
    return np.repeat(np.repeat(image, times, 0), times, 1)


def wait(player, condition: str) -> None:
    player.page.wait_for_function(f"e => {{ const d = e.dataset; return {condition} }}", arg=player.element_handle())


def version(player) -> int:
    return int(player.get_attribute("data-version"))


@pytest.mark.parametrize("density", [1, 1.5, 2])
def test_every_pixel_is_an_even_square_of_the_value_that_was_sent(show, density):
    one, player = show("grey", device_scale_factor=density)
    wanted = stage("grey").panels[0].pixels
    for frame in (0, 1, 2):
        wait(player, f"d.frame === '{frame}'")
        seen = cells(canvas_pixels(player))
        assert len(seen) == 4
        times = seen[0].shape[0] // 14
        assert times >= 5, "the images use the panel's room"
        for cell, image in zip(seen, wanted[frame]):
            assert np.array_equal(cell[..., :3], enlarged(image, times))
        one.page.keyboard.press("ArrowRight")
    # one canvas pixel is one pixel of the screen, or the squares would be resampled
    box = player.locator("canvas").first.evaluate("e => [e.width / e.getBoundingClientRect().width, devicePixelRatio]")
    assert box[0] == pytest.approx(box[1], rel=1e-4)


def test_colours_and_two_panels(show):
    one, player = show("colour")
    panels = stage("colour").panels
    one.page.keyboard.press("End")
    wait(player, f"d.frame === '{F - 1}'")
    rows = canvas_pixels(player)
    heights = [bottom - top for top, bottom in runs((rows[..., 3] == 255).any(1))]
    times = max(heights) // 16
    assert [h for h in heights if h >= 16 * times] == [16 * times] * 2, "two full rows, captions under them"
    wanted = enlarged(panels[0].pixels[-1, 0], times)
    top = next(top for top, bottom in runs((rows[..., 3] == 255).any(1)) if bottom - top == 16 * times)
    left = int(np.flatnonzero(rows[top, :, 3])[0])
    assert np.array_equal(rows[top : top + 16 * times, left : left + 16 * times, :3], wanted)
    for cell, image in zip(cells(canvas_pixels(player, 1)), panels[1].pixels[-1], strict=True):
        assert np.array_equal(cell[..., :3], enlarged(image, cell.shape[0] // 14))
    label = player.locator("canvas").first.get_attribute("aria-label")
    assert "6 images of 16 by 16 pixels" in label and "a, b, c" in label


def test_bits_arrive_as_they_were_sent(show):
    """A raster fills its panel, its cells need not be square, ones in the role's colour; lattices are squares; a tip tells the place."""
    one, player = show("bits")
    x = stage("bits").panels[0].pixels[0, 0]
    (seen,) = cells(canvas_pixels(player, 0))
    height, width = seen.shape[0] / 12, seen.shape[1] / 20
    middles = seen[(np.arange(12) * height + height / 2).astype(int)][:, (np.arange(20) * width + width / 2).astype(int), :3]
    ones = np.abs(middles.astype(int) - [0xE4, 0x57, 0x2E]).max(-1) <= 1
    assert np.array_equal(ones, x == 1) and abs(width - height) > 1
    assert len(np.unique(middles[x == 0].reshape(-1, 3), axis=0)) == 1
    squares = cells(canvas_pixels(player, 1))
    assert len(squares) == 4 and all(square.shape[0] == square.shape[1] for square in squares)
    canvas = player.locator("canvas").first
    box, ratio = canvas.bounding_box(), 1.0
    canvas.hover(position={"x": box["width"] / 2 / ratio, "y": box["height"] / 2})
    tip = player.locator(".tip").first
    tip.wait_for(state="visible")
    found = re.search(r"Row (\d+).*Position (\d+): (\d)", tip.inner_text().replace("\n", " "))
    row, place, value = map(int, found.groups())
    assert x[row - 1, place - 1] == value
    one.check_fit("a raster")


def test_a_size_that_is_no_whole_multiple_keeps_every_pixel_readable(show):
    _, player = show("many", width=1200)
    seen = cells(canvas_pixels(player))
    wanted = stage("many").panels[0].pixels[0]
    scale = seen[0].shape[0] / 28
    assert len(seen) == 64 and not float(scale).is_integer()
    middle = np.floor((np.arange(28) + 0.5) * scale).astype(int)
    for cell, image in zip(seen, wanted):
        error = np.abs(cell[np.ix_(middle, middle)][..., 0].astype(int) - image)
        assert np.median(error) <= 2 and (error > 64).mean() < 0.05


def test_a_photo_larger_than_its_panel_is_reduced_smoothly(show):
    _, player = show("photo")
    (cell,) = cells(canvas_pixels(player))
    assert 200 < cell.shape[0] < 500
    blocks = stage("photo").panels[0].pixels[0, 0, 12::25, 12::25].astype(int)  # 20 x 20 flat squares
    middle = np.floor((np.arange(20) + 0.5) * cell.shape[0] / 20).astype(int)
    assert np.abs(cell[np.ix_(middle, middle)][..., :3] - blocks).max() <= 2


def test_playing_shows_whole_frames_and_rests_when_paused(show):
    one, player = show("grey")
    page = one.page
    page.keyboard.press("Space")
    wait(player, "d.playing === 'true' && Number(d.frame) >= 2")
    page.keyboard.press("Space")
    wait(player, "d.playing === 'false'")
    frame = int(player.get_attribute("data-frame"))
    wanted = stage("grey").panels[0].pixels[frame]
    for cell, image in zip(cells(canvas_pixels(player)), wanted, strict=True):
        assert np.array_equal(cell[..., :3], enlarged(image, cell.shape[0] // 14))
    draws = int(player.get_attribute("data-draws"))
    page.wait_for_timeout(400)
    assert int(player.get_attribute("data-draws")) - draws <= 1
    page.keyboard.press("End")
    wait(player, f"d.frame === '{F - 1}'")
    page.keyboard.press("ArrowUp")  # no versions: nothing to move
    assert player.get_attribute("data-version") is None
    assert not player.locator(".versions").is_visible()


def test_four_megabytes_of_images_play_smoothly(show):
    one, player = show("fast")
    one.page.keyboard.press("Space")
    wait(player, "Number(d.frame) >= 3")
    count = """e => new Promise(done => {
        const [draws, began] = [Number(e.dataset.draws), performance.now()]
        let frames = 0
        const next = now => now - began < 2000 ? (frames++, requestAnimationFrame(next)) : done([frames, e.dataset.draws - draws])
        requestAnimationFrame(next) })"""
    frames, draws = player.evaluate(count)
    assert draws > 0.9 * frames and draws > 30, "every frame of the screen is drawn: 120 on an idle machine"


def test_versions_move_by_keys_slider_and_replay(show):
    one, player = show("versions")
    page = one.page
    wanted = stage("versions").panels[0].pixels

    def shown() -> None:
        at = int(player.get_attribute("data-version")), int(player.get_attribute("data-frame"))
        assert {tuple(cell[0, 0, :3]) for cell in cells(canvas_pixels(player))} == {(wanted[at][0, 0, 0],) * 3}
        assert player.locator(".card .value").inner_text() == f"{(10 * at[0] + at[1]) / 100:.2f}"

    assert version(player) == S - 1, "opens at the last version"
    shown()
    for key, expected in {"ArrowDown": 6, "Shift+ArrowDown": 1, "ArrowUp": 2, "Shift+ArrowUp": 7}.items():
        page.keyboard.press(key)
        wait(player, f"d.version === '{expected}'")
        shown()
    page.keyboard.press("ArrowRight")
    wait(player, "d.frame === '1' && d.version === '7'")
    shown()
    slider = player.get_by_role("slider", name="training step")
    assert slider.get_attribute("aria-valuetext") == "training step 350" and slider.get_attribute("aria-valuemax") == "7"
    slider.focus()
    page.keyboard.press("Home")
    wait(player, "d.version === '0' && d.frame === '1'")
    page.keyboard.press("ArrowRight")
    wait(player, "d.version === '1' && d.frame === '1'")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 4 / 7, box["y"] + box["height"] / 2)
    wait(player, "d.version === '4'")
    shown()
    page.keyboard.press("End")
    began = time.monotonic()
    player.get_by_role("button", name="Play every training step").click()
    wait(player, "Number(d.version) > 0 && Number(d.version) < 3 && d.playing === 'false'")
    wait(player, f"d.version === '{S - 1}'")
    assert 3.5 < time.monotonic() - began < 8
    player.get_by_role("button", name="Play every training step").click()
    wait(player, "d.version === '2'")
    page.keyboard.press("Space")
    page.wait_for_timeout(800)
    assert version(player) in (2, 3) and player.get_attribute("data-playing") == "false", "space stops the replay"
    one.shot("versions")


def test_new_versions_are_followed_only_from_the_last(show):
    one, player = show("versions")
    field = one.page.get_by_label("Versions")

    def number(n: int) -> None:
        field.fill(str(n))
        field.press("Enter")
        wait(player, f"d.versions === '{n}'")

    number(10)
    assert version(player) == 9, "at the last version the newest is followed"
    box = player.bounding_box()
    player.locator(".when").first.click()
    one.page.keyboard.press("Shift+ArrowDown")
    wait(player, "d.version === '4'")
    number(12)
    assert version(player) == 4, "who went back stays"
    number(3)
    assert version(player) == round(4 / 11 * 2)
    assert player.bounding_box() == box, "nothing jumps"


def test_a_click_arrives_in_python(show):
    one, player = show("grey")
    page = one.page
    page.keyboard.press("ArrowRight")
    wait(player, "d.frame === '1'")
    seen = canvas_pixels(player)
    (top, bottom), (left, _) = runs((seen[..., 3] > 0).any(1))[1], runs((seen[..., 3] > 0).any(0))[0]
    times = (bottom - top) // 14
    box = player.locator("canvas").first.bounding_box()
    x, y = box["x"] + left + 7.5 * times, box["y"] + top + 3.5 * times
    page.mouse.move(x, y)
    value = stage("grey").panels[0].pixels[1, 2, 3, 7]
    player.locator(".tip").get_by_text(f"Pixel (7, 3): {value}").wait_for()
    assert player.locator(".tip b").inner_text() == "Image 3"
    page.mouse.click(x, y)
    pick = {"t": 1, "frame": 1, "version": None, "panel": "digits", "image": 2, "x": 7, "y": 3}
    page.get_by_text(f"Picked: {pick}").wait_for()
    page.mouse.click(box["x"] + 5, box["y"] + box["height"] - 5)  # beside the images
    page.mouse.click(x + times, y)
    page.get_by_text(f"Picked: {pick | {'x': 8}}").wait_for()


def test_a_histogram_shows_its_counts(show):
    one, player = show("grey")
    counts = stage("grey").readouts[0].counts
    for frame in (0, 1):
        wait(player, f"d.frame === '{frame}'")
        path = player.locator(".histogram .bars").get_attribute("d")
        heights = np.zeros(12)
        for x, y, top in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", path):
            heights[int(float(x) / 100 * 12)] += float(y) - float(top)
        full = np.sort(counts.max(1))[F // 2] * 1.12
        whole = counts[frame] <= full  # the others are broken
        assert np.allclose(heights[whole], 40 * counts[frame][whole] / full, atol=0.02)
        assert (heights[~whole] > 36).all()
        one.page.keyboard.press("ArrowRight")
    assert len(player.locator(".histogram .curve").get_attribute("d").split("L")) == 12
    assert player.locator(".ends").inner_text().split() == ["−3", "3"]


def test_the_link_and_the_picture_hold_the_version(show, tmp_path):
    one, player = show("versions")
    page = one.page
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    wait(player, "d.version === '2' && d.frame === '10'")
    player.get_by_role("button", name="Copy link").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('version='))")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "version=100" in link and "t=0" in link
    with page.expect_download() as download:
        player.get_by_role("button", name="Download PNG").click()
    assert download.value.suggested_filename == "dpm-t00-v2.png"
    picture = np.asarray(Image.open(download.value.path()).convert("RGB"))
    grey = int(stage("versions").panels[0].pixels[2, 10, 0, 0, 0])
    assert (picture == grey).all(2).mean() > 0.05, "the images are in it"
    page.goto(link)
    player = one.stage()
    wait(player, "d.version === '2' && d.frame === '10'")


@pytest.mark.parametrize("case", ["many", "versions"])
def test_panels_fill_their_place_at_any_size(show, case):
    one, player = show(case)
    for scheme, width in one.looks():
        one.check_fit()
        seen = canvas_pixels(player)
        opaque = seen[..., 3] > 0
        spread = [np.ptp(np.flatnonzero(opaque.any(axis))) for axis in (0, 1)]
        filled = max(spread[0] / opaque.shape[1], spread[1] / (opaque.shape[0] - 52))
        assert filled > 0.8, f"{case} leaves room at {width}"
        one.shot(f"images-{case}-{scheme}-{width}")
