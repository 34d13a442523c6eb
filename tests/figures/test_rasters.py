"""Pictures: where ink lands, how much of it there is, and what a contour encloses."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dpm_core.figures.palette import DATA, GROUND, MODEL
from dpm_core.figures.rasters import PLANE, contour_lines, gif, grid, png, rgb, scatter_image, strip_image, tile


def ink(image):
    """Undo cover = 1 − exp(−ink) of an image on transparent ground."""
    return -np.log1p(-np.minimum(image[..., 3] / 255, 0.999))


def test_rgb():
    np.testing.assert_array_equal(rgb("#2f6de0"), [0x2F, 0x6D, 0xE0])


@pytest.mark.parametrize("x, y", [(0.0, 0.0), (1.5, -0.7), (-2.2, 2.4), (0.013, 0.997), (0.7725, -0.7725)])
def test_a_dot_lands_on_its_point(x, y):
    """The ink's centre of mass, in the plane's units with y up, is the point to a quarter of a pixel; its sum is 0.7 + 4·0.16."""
    size = 200
    image = scatter_image(np.array([[x, y]]), size, "#102030")
    mass = ink(image)
    axis = (np.arange(size) + 0.5) / size * 2 * PLANE - PLANE
    quarter = 0.27 * 2 * PLANE / size
    assert mass.sum(0) @ axis / mass.sum() == pytest.approx(x, abs=quarter)
    assert mass.sum(1) @ -axis / mass.sum() == pytest.approx(y, abs=quarter)
    assert mass.sum() == pytest.approx(1.34, rel=0.02)
    assert (image[..., :3] == rgb("#102030")).all()


def test_ink_adds_up_and_points_outside_leave_none():
    """Twenty separate dots hold twenty times the ink; dots beyond the frame or not finite hold none."""
    points = np.stack(np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-2, 2, 4)), -1).reshape(-1, 2)
    assert ink(scatter_image(points, 200, "#000000")).sum() == pytest.approx(20 * 1.34, rel=0.02)
    away = np.array([[9.0, 0.0], [0.0, -9.0], [np.nan, 0.0], [np.inf, 1.0]])
    assert ink(scatter_image(away, 60, "#000000")).sum() == 0
    both = np.concatenate([points, away])
    np.testing.assert_array_equal(scatter_image(both, 60, "#000000"), scatter_image(points, 60, "#000000"))


def test_a_background_is_mixed_by_the_same_cover():
    """colour·cover + ground·(1 − cover), to the rounding of two bytes."""
    points = np.random.default_rng(0).normal(size=(300, 2))
    clear = scatter_image(points, 50, "#e4572e")
    solid = scatter_image(points, 50, "#e4572e", background="#fbfaf7")
    cover = clear[..., 3:] / 255
    np.testing.assert_allclose(solid[..., :3], cover * rgb("#e4572e") + (1 - cover) * rgb("#fbfaf7"), atol=1.5)
    assert (solid[..., 3] == 255).all() and cover.max() > 0.5


def test_strip_and_png_hold_the_tiles_untouched():
    states = [np.array([[0.5, 0.5]]), np.array([[-1.0, 1.0], [1.0, -2.0]])]
    strip = strip_image(states, 40, "#2f6de0", gap=6)
    assert strip.shape == (40, 86, 4)
    for panel, left in zip(states, (0, 46)):
        np.testing.assert_array_equal(strip[:, left : left + 40], scatter_image(panel, 40, "#2f6de0"))
    assert (strip[:, 40:46, 3] == 0).all()
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png(strip)))), strip)


@pytest.mark.parametrize("dark", [False, True])
def test_gif_frames_follow_the_trajectory(dark):
    """Four frames of two panels side by side; the darkest (lightest) spot of each tile moves as its one heavy dot does."""
    path = np.repeat(np.array([[-2.0, 0.0], [-1.0, 1.0], [1.0, 1.0], [2.0, -1.0]])[:, None], 400, 1)
    data = gif([(path, DATA), (-path, MODEL)], dark=dark, size=60, seconds=2.0, hold=0.7)
    image = Image.open(BytesIO(data))
    assert image.n_frames == 4 and image.info["loop"] == 0
    ground = rgb(GROUND.dark if dark else GROUND.light)
    durations = []
    for i in range(4):
        image.seek(i)
        durations.append(image.info["duration"])
        frame = np.asarray(image.convert("RGB")).astype(float)
        for sign, panel in ((1, frame[:, :60]), (-1, frame[:, 60:])):
            row, column = np.unravel_index(np.abs(panel - ground).sum(-1).argmax(), (60, 60))
            x, y = (column + 0.5) / 60 * 2 * PLANE - PLANE, PLANE - (row + 0.5) / 60 * 2 * PLANE
            np.testing.assert_allclose([x, y], sign * path[i, 0], atol=2.5 * 2 * PLANE / 60)
    assert durations == [500, 500, 500, 700]


def test_grid_runs_row_by_row_from_below():
    points = grid(5, 2.0)
    np.testing.assert_allclose(points[:5], [[-2, -2], [-1, -2], [0, -2], [1, -2], [2, -2]])
    np.testing.assert_allclose(points[5], [-2, -1])
    np.testing.assert_allclose(points[-1], [2, 2])


def test_contours_enclose_the_stated_mass():
    """N(μ, diag(a², b²)): the region of mass m is the ellipse of radius √(−2 log(1−m)); every vertex within 1 % of it."""
    mean, deviation, limit = np.array([0.5, -0.8]), np.array([0.9, 0.4]), 5.0
    m = 401
    points = grid(m, limit).astype(float)
    density = np.exp(-0.5 * (((points - mean) / deviation) ** 2).sum(1)).reshape(m, m)
    for mass in (0.25, 0.6, 0.9):
        lines = contour_lines(7.3 * density, (mass,), limit)
        assert len(lines) == 1
        radius = np.linalg.norm((lines[0] - mean) / deviation, axis=1)
        np.testing.assert_allclose(radius, np.sqrt(-2 * np.log(1 - mass)), rtol=0.01)
    assert len(contour_lines(density, limit=limit)) == 3


def test_contours_have_few_vertices_and_stay_within_a_tenth_of_a_cell():
    """Of a circle, in cells of the grid: two passes of 0.05 cells, so the middle of an edge lies at most 0.1 cells inside."""
    m = 201
    squared = (grid(m, (m - 1) / 2).astype(float) ** 2).sum(1).reshape(m, m)
    (line,) = contour_lines(np.exp(-squared / (2 * 30**2)), (0.6,), (m - 1) / 2)
    radii = np.linalg.norm(line, axis=1)
    middles = np.linalg.norm((line[1:] + line[:-1]) / 2, axis=1)
    np.testing.assert_allclose(radii, 30 * np.sqrt(-2 * np.log(1 - 0.6)), rtol=0.01)
    assert radii.max() - middles.min() < 0.1
    assert 30 < len(line) < radii.mean() * 8 / 3, "the circle crosses about 8 r edges of the grid"


def test_contours_of_two_hills_are_two_lines():
    points = grid(201, 3.0).astype(float)
    density = sum(np.exp(-((points - c) ** 2).sum(1) / 0.02) for c in ([1.5, 0], [-1.5, 1])).reshape(201, 201)
    lines = contour_lines(density, (0.6,), 3.0)
    centres = sorted(tuple(line.mean(0).round(1)) for line in lines)
    assert len(lines) == 2 and centres == [(-1.5, 1.0), (1.5, 0.0)]


def test_tiles_stand_in_rows():
    """Five pictures of 1 × 2, three columns, one grey pixel between: by hand; the place left over in the ground's grey."""
    images = np.array([[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]], [[9, 10]]], np.uint8)
    g = 50
    wanted = [[1, 2, g, 3, 4, g, 5, 6], [g] * 8, [7, 8, g, 9, 10, g, g, g]]
    sheet = tile(images, gap=1, ground=g)
    assert sheet.dtype == np.uint8 and sheet.tolist() == wanted
    assert tile(images[:3], columns=1, gap=0).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert tile(images, columns=5, gap=0).tolist() == [list(range(1, 11))]
    assert tile(images[:1]).tolist() == [[1, 2]]
    assert tile(images, columns=2).shape == (3 * 1 + 2 * 2, 2 * 2 + 2)


def test_tiles_keep_their_colours():
    """Two pictures of 1 × 1 in RGB; a single channel at the end is dropped, as PIL wants grey."""
    images = np.array([[[[1, 2, 3]]], [[[4, 5, 6]]]], np.uint8)
    assert tile(images, gap=1, ground=9).tolist() == [[[1, 2, 3], [9, 9, 9], [4, 5, 6]]]
    assert tile(images[..., :1], gap=1, ground=9).tolist() == [[1, 9, 4]]


@pytest.mark.parametrize("n, columns", [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (64, 8)])
def test_as_many_columns_as_rows_or_one_row_fewer(n, columns):
    rows = -(-n // columns)
    sheet = tile(np.arange(n, dtype=np.uint8)[:, None, None], gap=0, ground=255)
    assert sheet.shape == (rows, columns)
    assert sheet.flatten()[:n].tolist() == list(range(n)) and (sheet.flatten()[n:] == 255).all()
