"""The painter in a real Chromium: what is painted is, pixel for pixel, what the server gets."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import numpy as np
import pytest

from pages.ui.components.painter import masks
from tests.browser.conftest import ROOT, Server, Visit
from tests.browser.painter_app import SIZES, picture

APP = ROOT / "tests" / "browser" / "painter_app.py"
Point = tuple[float, float]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The address of the demo, served on a free port."""
    running = Server(tmp_path_factory.mktemp("demo"), APP)
    yield running.url
    running.stop()


class Canvas:
    """One open painter, spoken to in pixels of its picture."""

    def __init__(self, visit: Visit, case: str):
        self.visit, self.page, self.shape = visit, visit.page, SIZES[case]
        self.root = self.page.locator(".dpm-painter")
        self.canvas = self.root.locator("canvas")
        self.root.wait_for(timeout=30_000)
        self.until("Number(d.draws) > 0 && Number(d.scale) > 0")
        self.page.wait_for_timeout(300)

    def data(self, name: str) -> str:
        return self.root.evaluate("(e, name) => e.dataset[name]", name)

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"e => {{ const d = e.dataset; return {condition} }}", arg=self.root.element_handle(), timeout=8000)

    def on_screen(self, x: float, y: float) -> Point:
        """Where a point of the picture, in pixels from its upper left corner, is in the window."""
        box = self.canvas.bounding_box()
        scale, left, top = (float(self.data(name)) for name in ("scale", "left", "top"))
        return box["x"] + left + scale * x, box["y"] + top + scale * y

    def drag(self, points: list[Point], button: str = "left", hold: Callable[[], None] = lambda: None) -> None:
        """Press at the first point, go straight from each to the next in one event, release at the last."""
        places = [self.on_screen(*point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down(button=button)
        for place in places[1:]:
            self.page.mouse.move(*place)
        hold()
        self.page.mouse.up(button=button)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def size(self, wanted: int) -> None:
        most = min(200, max(self.shape))
        self.root.get_by_label("Brush size").fill(f"{100 * np.log(wanted) / np.log(most):.1f}")
        assert int(self.data("size")) == wanted

    def colour(self, x: int, y: int) -> list[int]:
        """What the canvas shows in the middle of a pixel."""
        read = "(e, [x, y]) => [...e.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        scale, left, top = (float(self.data(name)) for name in ("scale", "left", "top"))
        density = self.page.evaluate("devicePixelRatio")
        return self.canvas.evaluate(read, [int(density * (left + scale * (x + 0.5))), int(density * (top + scale * (y + 0.5)))])

    def act(self, name: str) -> None:
        self.root.locator(f"[data-act={name}]").click()

    def server(self) -> dict:
        return json.loads(self.page.locator(".st-key-server [data-testid=stText]").inner_text())

    def mask(self) -> np.ndarray:
        return masks.decode(self.server()["runs"], self.shape)

    def expect(self, wanted: np.ndarray, why: str = "") -> None:
        """The server comes to know this mask, and the browser shows as many missing pixels."""
        deadline = time.time() + 8
        while not np.array_equal(seen := self.mask(), wanted):
            different = np.argwhere(seen != wanted)
            assert time.time() < deadline, f"{why}: {len(different)} pixels differ, the first at {different[:3].tolist()}"
            self.page.wait_for_timeout(30)
        self.until(f"Number(d.missing) === {wanted.sum()}")


@pytest.fixture
def show(demo, browser):
    """Opens one case of the demo."""
    opened: list[Visit] = []

    def make(case: str, prepare: Callable[[Visit], None] = lambda visit: None, **options) -> Canvas:
        one = Visit(browser, demo, **options)
        opened.append(one)
        prepare(one)
        one.open(f"/?case={case}")
        return Canvas(one, case)

    yield make
    for one in opened:
        one.close()


def swept(points: list[Point], size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels whose centre is within half a brush of the line through the points, each put on a centre or a corner of pixels."""
    snapped = [[np.floor(v) + 0.5 if size % 2 else np.floor(v + 0.5) for v in point] for point in points]
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    mask = np.zeros(shape[:2], bool)
    for (ax, ay), (bx, by) in zip(snapped, snapped[1:] or snapped):
        square = (bx - ax) ** 2 + (by - ay) ** 2
        t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square, 0, 1) if square else np.zeros_like(x)
        mask |= np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) <= size / 2 + 1e-9
    return mask


def box(shape, left, top, right, bottom) -> np.ndarray:
    """True from one pixel to another, both included."""
    mask = np.zeros(shape, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


ZIGZAG = [(40.5, 30.5), (200.5, 60.5), (60.5, 120.5), (230.5, 150.5)]


def test_a_stroke_marks_exactly_its_pixels(show):
    """Far apart events leave no gap; a brush of an even size lies on corners. From release to the server's answer: measured."""
    one = show("photo")
    one.canvas.hover()
    one.size(15)
    one.drag(ZIGZAG)
    wanted = swept(ZIGZAG, 15, one.shape)
    one.expect(wanted, "odd brush")
    waits = []
    for i in range(6):
        corner = [(20 + 40 * i, 90.0), (30 + 40 * i, 170.0)]
        one.size(8 + 2 * (i % 2))
        one.page.evaluate("addEventListener('pointerup', () => window.released = Date.now(), {once: true, capture: true})")
        one.drag(corner)
        wanted |= swept(corner, 8 + 2 * (i % 2), one.shape)
        one.expect(wanted, "even brush")
        waits.append(1000 * one.server()["heard"] - one.page.evaluate("window.released"))
    print(f"\npointer up to server: median {np.median(waits):.0f} ms, worst {max(waits):.0f} ms of {len(waits)}")
    assert min(waits) > 0 and max(waits) < 2000


def test_a_stroke_goes_on_past_the_border(show):
    """Out of the canvas on one side, back in elsewhere; released outside."""
    one = show("photo")
    one.canvas.hover()
    one.size(21)
    path = [(130.5, 90.5), (150.5, -40.5), (300.5, 60.5), (200.5, 100.5), (180.5, 230.5)]
    one.drag(path)
    one.expect(swept(path, 21, one.shape))
    # the pointer is free again: moving over the canvas paints nothing
    one.page.mouse.move(*one.on_screen(30, 30))
    one.page.mouse.move(*one.on_screen(90, 40))
    one.page.wait_for_timeout(300)
    one.expect(swept(path, 21, one.shape))


def test_the_right_button_and_the_eraser_take_away(show):
    one = show("photo")
    one.page.evaluate("window.menus = 0; addEventListener('contextmenu', (event) => event.defaultPrevented || window.menus++)")
    one.canvas.hover()
    one.size(35)
    line, across, along = [(40.5, 90.5), (220.5, 90.5)], [(130.5, 30.5), (130.5, 150.5)], [(40.5, 80.5), (100.5, 80.5)]
    one.drag(line)
    wanted = swept(line, 35, one.shape)
    one.expect(wanted)
    one.size(11)
    one.drag(across, button="right")
    wanted &= ~swept(across, 11, one.shape)
    one.expect(wanted, "right button")
    one.press("e")
    one.drag(along)
    wanted &= ~swept(along, 11, one.shape)
    one.expect(wanted, "eraser")
    one.press("b")
    one.drag(along)
    wanted |= swept(along, 11, one.shape)
    one.expect(wanted, "brush again")
    assert one.page.evaluate("window.menus") == 0


def inside(polygon: list[Point], shape) -> np.ndarray:
    """Pixel centres around which the closed line winds, by the angle it turns through."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    corners = [(px - x) + 1j * (py - y) for px, py in polygon]
    turn = sum(np.angle(b / a) for a, b in zip(corners, corners[1:] + corners[:1]))
    return np.abs(turn) > 3


def test_rectangle_and_lasso(show):
    one = show("photo")
    one.canvas.hover()
    one.press("r")
    one.drag([(100.5, 120.5), (30.5, 40.5)])
    wanted = box(one.shape, 30, 40, 100, 120)
    one.expect(wanted, "rectangle, upwards")
    one.drag([(-30.5, 50.5), (70.5, 60.5)], button="right")
    wanted &= ~box(one.shape, 0, 50, 70, 60)
    one.expect(wanted, "rectangle that erases, from outside")
    one.page.mouse.click(*one.on_screen(200, 100))
    one.page.wait_for_timeout(200)
    one.press("l")
    # crosses itself: a star's middle is inside too
    star = [(180.13 + 60.07 * np.sin(4 * np.pi * i / 5), 90.21 - 60.07 * np.cos(4 * np.pi * i / 5)) for i in range(5)]
    one.drag(star)
    seen, expected = None, wanted | inside(star, one.shape)
    for _ in range(60):
        seen = one.mask()
        if (seen != wanted).any():
            break
        one.page.wait_for_timeout(50)
    # the pointer is only as fine as the screen, so pixels that the line cuts may fall to either side
    lines = swept([*star, star[0]], 3, one.shape)
    assert not ((seen != expected) & ~lines).any() and seen[90, 180]
    one.drag([(0, 0), (260, 0), (260, 180), (0, 180)], button="right")
    one.expect(np.zeros(one.shape, bool), "lasso that erases all")


def test_undo_and_redo_over_everything(show):
    one = show("photo")
    one.canvas.hover()
    one.size(15)
    states = [np.zeros(one.shape, bool)]
    one.drag(ZIGZAG[:2])
    states.append(swept(ZIGZAG[:2], 15, one.shape))
    one.expect(states[-1])
    for name, after in (("grow", masks.grow(states[-1], 2)), ("invert", None), ("shrink", None), ("clear", np.zeros(one.shape, bool))):
        one.act(name)
        after = ~states[-1] if name == "invert" else masks.shrink(states[-1], 2) if name == "shrink" else after
        one.expect(after, name)
        states.append(after)
    one.page.get_by_role("button", name="Centre").click()
    states.append(masks.centre(one.shape, 20))
    one.expect(states[-1], "the page's mask")
    one.canvas.hover()
    for i, wanted in enumerate(reversed(states[:-1])):
        one.press("Control+z") if i % 2 else one.act("undo")
        one.expect(wanted, f"undo {i}")
    assert one.root.locator("[data-act=undo]").is_disabled()
    for i, wanted in enumerate(states[1:]):
        one.canvas.hover()
        one.press("Control+Shift+z") if i % 2 else one.act("redo")
        one.expect(wanted, f"redo {i}")
    one.press("Control+z")
    one.expect(states[-2])
    one.drag(ZIGZAG[2:])
    one.expect(swept(ZIGZAG[2:], 15, one.shape), "a stroke after undo")
    assert one.root.locator("[data-act=redo]").is_disabled()


def test_the_page_changes_the_mask_under_a_stroke(show):
    """The stroke goes on to its end, then the page's mask counts, and undo leads back to the stroke."""
    one = show("photo")
    one.canvas.hover()
    one.size(15)

    def centre() -> None:
        one.page.get_by_role("button", name="Centre").evaluate("e => e.click()")
        one.page.wait_for_timeout(800)

    one.drag(ZIGZAG, hold=centre)
    one.expect(masks.centre(one.shape, 20))
    one.press("Control+z")
    one.expect(swept(ZIGZAG, 15, one.shape), "the stroke")
    one.press("Control+z")
    one.expect(np.zeros(one.shape, bool), "before it")


def test_keys_and_slider_set_the_brush(show):
    one = show("photo")
    one.canvas.hover()
    one.size(10)
    sizes = []
    for key in "]]]][[[[":
        one.press(key)
        sizes.append(int(one.data("size")))
    assert sizes == sorted(sizes[:4]) + sorted(sizes[4:], reverse=True) and sizes[3] > 13 and sizes[-1] < sizes[3]
    one.page.keyboard.down("Alt")
    one.page.mouse.wheel(0, -100)
    one.until(f"Number(d.size) > {sizes[-1]}")
    one.page.keyboard.up("Alt")
    for _ in range(60):
        one.press("]")
    assert one.data("size") == "200"
    for _ in range(80):
        one.press("[")
    assert one.data("size") == "1"
    one.drag([(50.5, 50.5), (50.5, 50.5)])
    one.expect(box(one.shape, 50, 50, 50, 50), "one pixel")
    slider = one.root.get_by_label("Brush size")
    slider.focus()
    one.press("End")
    assert one.data("size") == "200" and float(one.data("scale")) > 1


def test_zoomed_in_every_pixel_is_where_it_seems(show):
    one = show("photo")
    before = float(one.data("scale"))
    corner, place = np.array(one.on_screen(0, 0)), np.round(one.on_screen(200.5, 120.5))  # wheels know whole pixels of the screen only
    under = (place - corner) / before
    one.page.mouse.move(*place)
    for _ in range(6):
        one.page.mouse.wheel(0, -200)
    one.until(f"Number(d.scale) > {4 * before}")
    one.page.wait_for_timeout(200)
    assert np.abs(np.subtract(one.on_screen(*under), place)).max() <= 0.6, "what is under the pointer stays there"
    one.size(1)
    line = [(190.5, 115.5), (210.5, 122.5)]
    one.drag(line)
    wanted = swept(line, 1, one.shape)
    one.expect(wanted, "zoomed")
    # space drags the picture, so does the middle button, and neither paints
    left = float(one.data("left"))
    one.page.keyboard.down("Space")
    one.drag([(200.5, 120.5), (196.5, 118.5)])
    one.page.keyboard.up("Space")
    one.drag([(200.5, 120.5), (196.5, 118.5)], button="middle")
    assert float(one.data("left")) < left - 4 * before
    one.size(4)
    dot = [(195.0, 119.0), (195.0, 119.0)]
    one.drag(dot)
    wanted |= swept(dot, 4, one.shape)
    one.expect(wanted, "zoomed and moved")
    one.press("Escape")
    one.until(f"Number(d.scale) === {before!r}")
    one.size(5)
    line = [(20.5, 20.5), (90.5, 30.5)]
    one.drag(line)
    one.expect(wanted | swept(line, 5, one.shape), "whole again")


@pytest.mark.parametrize("density", [1, 2])
def test_a_small_picture_is_squares_of_whole_pixels(show, density):
    one = show("small", device_scale_factor=density)
    scale = float(one.data("scale")) * density
    assert scale == int(scale) and scale >= 10
    one.press("r")  # without the pointer over it and without focus the key is not the painter's
    assert one.data("tool") == "brush"
    one.canvas.hover()
    one.size(2)
    one.drag([(5.2, 6.9), (9.1, 7.1)])
    wanted = box(one.shape, 4, 6, 9, 7)
    one.expect(wanted)
    one.page.mouse.move(*one.on_screen(20, 15))
    one.page.wait_for_timeout(300)
    assert one.colour(15, 3) == picture("small")[3, 15].tolist(), "the colour that was sent"
    one.page.mouse.wheel(0, -300)
    one.page.wait_for_timeout(200)
    scale = float(one.data("scale")) * density
    assert scale == int(scale), "also zoomed"


def test_the_mask_survives_a_run_and_a_change_of_page(show):
    one = show("photo")
    one.canvas.hover()
    one.size(15)
    one.drag(ZIGZAG)
    wanted = swept(ZIGZAG, 15, one.shape)
    one.expect(wanted)
    one.page.get_by_role("button", name="Run again").click()
    one.page.wait_for_timeout(500)
    one.expect(wanted, "after a run")
    one.page.emulate_media(color_scheme="dark")
    one.until("d.theme === 'dark'")
    one.expect(wanted, "in another theme")
    one.page.get_by_role("link", name="Elsewhere", exact=True).click()
    one.page.get_by_role("heading", name="Elsewhere").wait_for()
    one.page.get_by_role("link", name="Painter", exact=True).click()
    one.page.get_by_role("heading", name="Painter").wait_for()
    back = Canvas(one.visit, "photo")
    back.expect(wanted, "after a change of page")
    back.canvas.hover()
    back.size(9)
    back.drag([(20.5, 20.5), (30.5, 160.5)])
    back.expect(wanted | swept([(20.5, 20.5), (30.5, 160.5)], 9, one.shape), "painted on after it")
    back.page.get_by_role("button", name="Start anew").click()
    back.expect(np.zeros(one.shape, bool), "start anew")


def test_a_result_changes_under_a_stroke(show):
    """Several results arrive while the button is down: the stroke, the zoom and undo stay, the hole shows the last one."""
    one = show("live")
    hole = masks.centre(one.shape, 60)
    one.canvas.hover()
    one.page.mouse.wheel(0, -100)
    one.page.wait_for_timeout(200)
    scale = one.data("scale")
    one.size(7)
    shades = set()

    def wait() -> None:
        first = one.server()["tick"]
        while one.server()["tick"] < first + 5:
            shades.add(one.colour(80, 60)[0])
            one.page.wait_for_timeout(60)

    path = [(20.5, 20.5), (140.5, 25.5), (140.5, 110.5)]
    one.drag(path, hold=wait)
    wanted = hole | swept(path, 7, one.shape)
    one.expect(wanted)
    assert len(shades) >= 3, "the results were seen while the stroke lasted"
    assert one.data("scale") == scale
    one.press("Control+z")
    one.expect(hole, "undo after many results")


def test_pictures_are_sent_once(show):
    """After the first stroke a run brings all but the picture; a browser that lost its pictures asks for them."""
    frames = []

    def listen(visit):
        visit.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(len(frame))))

    one = show("photo", listen)
    whole = picture("photo").size
    first = max(frames)
    assert first > whole
    one.canvas.hover()
    one.size(15)
    one.drag(ZIGZAG[:2])
    wanted = swept(ZIGZAG[:2], 15, one.shape)
    one.expect(wanted)
    one.page.wait_for_timeout(500)
    frames.clear()
    one.act("invert")
    one.expect(~wanted)
    one.page.get_by_role("button", name="Run again").click()
    one.page.wait_for_timeout(800)
    assert 0 < max(frames) < first - 0.95 * whole
    one.page.evaluate("window.__dpmPictures.clear()")
    one.page.get_by_role("button", name="Centre").click()
    one.expect(masks.centre(one.shape, 20))
    one.page.wait_for_timeout(500)
    assert max(frames) > whole and one.root.locator(".error").is_hidden()
    assert one.server()["problem"] is None
    assert np.abs(np.subtract(one.colour(20, 20), picture("photo")[20, 20], dtype=int)).max() <= 6


def test_a_forged_message_is_refused(show):
    """A run length is changed on the wire: one sentence, the mask kept here and there, and the next stroke counts."""
    forged = []

    def spoil(message):
        if isinstance(message, bytes) and forged and forged[-1] == "now" and re.search(rb'runs\\*":', message):
            forged.append(message)
            return re.sub(rb'(runs\\*": ?\[)(\d+)', lambda m: m[1] + b"9" * len(m[2]), message)
        return message

    def between(route):
        server = route.connect_to_server()
        route.on_message(lambda message: server.send(spoil(message)))
        server.on_message(lambda message: route.send(message))

    one = show("photo", lambda visit: visit.page.route_web_socket(re.compile("_stcore/stream"), between))
    one.canvas.hover()
    one.size(15)
    one.drag(ZIGZAG[:2])
    kept = swept(ZIGZAG[:2], 15, one.shape)
    one.expect(kept)
    forged.append("now")
    one.drag(ZIGZAG[2:])
    one.page.wait_for_timeout(1000)
    assert len(forged) == 2, "a message was changed"
    server = one.server()
    expected = r"The mask from the browser covers [\d,]+ pixels instead of 46,800, so the previous one was restored\."
    assert re.fullmatch(expected, server["problem"])
    one.expect(kept, "the mask before, also in the browser")
    one.drag(ZIGZAG[1:3])
    one.expect(kept | swept(ZIGZAG[1:3], 15, one.shape), "the next stroke")


def test_compare(show):
    """Tab and the wipe show the other picture; Tab moves on as always where nothing is to be compared."""
    one = show("compare")
    image = picture("compare")

    def colour(x: int, y: int) -> list[int]:
        one.page.wait_for_timeout(150)
        return one.colour(x, y)

    def near(seen, wanted) -> bool:
        return np.abs(np.subtract(seen, wanted, dtype=int)).max() <= 6

    place, far = (30, 40), (130, 90)
    assert near(colour(*place), image[40, 30])
    one.page.mouse.move(*one.on_screen(100, 100))
    one.page.keyboard.down("Tab")
    assert one.data("comparing") == "true" and near(colour(*place), 255 - image[40, 30])
    one.page.keyboard.up("Tab")
    assert near(colour(*place), image[40, 30])
    one.root.get_by_label("Compare from the left").fill("50")
    assert near(colour(*place), 255 - image[40, 30]) and near(colour(*far), image[90, 130])
    other = show("photo")
    other.canvas.hover()
    other.canvas.focus()
    other.press("Shift+Tab")
    assert other.canvas.evaluate("e => e.getRootNode().activeElement.dataset.act") == "help"
    other.press("Tab", "Tab")
    assert other.canvas.evaluate("e => e.getRootNode().activeElement !== e")


def test_keys_belong_to_whoever_types(show):
    one = show("photo")
    one.page.evaluate("window.keys = []; document.addEventListener('keydown', (event) => window.keys.push(event.key))")
    words = one.page.get_by_label("Words")
    words.click()
    one.canvas.hover()
    one.page.keyboard.type("re[]bl")
    assert words.input_value() == "re[]bl" and one.data("tool") == "brush"
    runs = one.server()["revision"]
    one.page.mouse.click(*one.on_screen(130.5, 90.5))
    one.page.wait_for_timeout(400)
    heard = one.server()
    assert heard["revision"] == runs + 1
    assert "r" in one.page.evaluate("window.keys.splice(0)")
    one.press("r", "x")  # the painter's rectangle, not Streamlit's run again; x is nobody's
    assert one.data("tool") == "rectangle" and one.page.evaluate("window.keys") == ["x"]
    one.press("?")
    assert one.root.get_by_text("hold to compare").is_visible()
    one.press("?")
    assert one.root.get_by_text("hold to compare").is_hidden()


def test_a_digit_is_drawn_with_a_soft_brush(show):
    one = show("draw")
    one.canvas.hover()
    assert one.data("mode") == "draw" and one.root.locator("[data-act=rectangle]").is_hidden()
    one.size(3)
    line = [(14.0, 5.0), (14.0, 23.0)]
    one.drag(line)
    one.page.wait_for_timeout(600)
    seen = masks.decode_drawing(one.server()["runs"], one.shape)
    y, x = np.mgrid[:28, :28] + 0.5
    distance = np.hypot(x - 14, y - np.clip(y, 5, 23))
    assert (seen[distance <= 0.75] == 255).all() and (seen[distance >= 2.25] == 0).all()
    edge = (distance > 1) & (distance < 2)
    assert edge.any() and (np.abs(seen[edge] - 127.5) < 127).all(), "ink fades at the edge"
    one.press("Control+z")
    one.page.wait_for_timeout(600)
    assert not masks.decode_drawing(one.server()["runs"], one.shape).any()
    one.press("Control+Shift+z")
    one.drag([(8.0, 14.0), (20.0, 14.0)], button="right")
    one.page.wait_for_timeout(600)
    again = masks.decode_drawing(one.server()["runs"], one.shape)
    assert not again[13:15].any() and np.array_equal(again[:10], seen[:10])
    one.page.get_by_role("button", name="Start anew").click()
    one.page.wait_for_timeout(600)
    assert not masks.decode_drawing(one.server()["runs"], one.shape).any()


def test_fingers_paint_and_pinch(show):
    """One finger paints; a second one takes that back and moves the view."""
    one = show("photo", has_touch=True, width=390, height=844)
    speak = one.visit.context.new_cdp_session(one.page)

    def touch(kind: str, *points: Point) -> None:
        at = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        speak.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    a, b = one.on_screen(60.5, 60.5), one.on_screen(160.5, 80.5)
    size = int(one.data("size"))
    touch("touchStart", a)
    touch("touchMove", b)
    touch("touchEnd")
    one.page.wait_for_timeout(600)
    painted = one.mask()
    wanted = swept([(60.5, 60.5), (160.5, 80.5)], size, one.shape)
    assert painted[60, 60] and painted[80, 160] and abs(painted.sum() / wanted.sum() - 1) < 0.1
    scale = float(one.data("scale"))
    x, y = one.on_screen(130, 90)
    touch("touchStart", (x - 30, y))
    touch("touchStart", (x - 30, y), (x + 30, y))
    for reach in (40, 60, 90):
        touch("touchMove", (x - reach, y), (x + reach, y))
    touch("touchEnd", (x - 90, y))
    touch("touchMove", (x - 20, y))
    touch("touchEnd")
    one.page.wait_for_timeout(600)
    assert float(one.data("scale")) == pytest.approx(3 * scale, rel=0.1)
    np.testing.assert_array_equal(one.mask(), painted)
    assert one.data("steps") == "1"
    dot = one.on_screen(150.5, 110.5)
    touch("touchStart", dot)
    touch("touchEnd")
    one.page.wait_for_timeout(600)
    again = one.mask()
    assert again[110, 150] and not again[90, round(130 - 30 / scale)], "the first finger's dab was taken back"


@pytest.mark.parametrize("width,height", [(1440, 900), (390, 844)])
def test_it_fits_and_can_be_hit(show, width, height):
    one = show("compare", width=width, height=height, has_touch=width < 500)
    one.act("help")
    one.canvas.hover()
    one.size(15)
    one.drag([(40.5, 40.5), (120.5, 80.5)])
    one.page.wait_for_timeout(500)
    assert one.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    least = 40 if one.page.evaluate("matchMedia('(pointer: coarse)').matches") else 32
    frame = one.root.bounding_box()
    for button in one.root.locator("button:visible").all():
        target = button.bounding_box()
        assert target["width"] >= least and target["height"] >= least and button.get_attribute("aria-label")
        assert target["x"] >= frame["x"] - 7 and target["x"] + target["width"] <= frame["x"] + frame["width"] + 7
    for scheme in one.visit.themes():
        one.visit.shot(f"painter-{scheme}-{width}")
