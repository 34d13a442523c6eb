"""The Lab page: four pictures on one clock, the words beside them, and the Python that it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core.lab.flow import three_states
from dpm_core.lab.optimiser.plane_objectives import make_surface
from pages.ui.components.player import unpack
from pages.ui.lab.story import text, thumbnails
from pages.ui.lecture import course
from tests.pages.test_pages import APP, check


@pytest.mark.parametrize("query", [{}, {"seed": "3"}, {"seed": "-5"}])
def test_links_open(query):
    app = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    check(app.switch_page("pages/lab.py").run())
    assert not app.exception and any("What they share with diffusion" in element.value for element in app.markdown)
    links = [link.proto.page for link in app.get("page_link")]
    assert {one.page for one in text.NEIGHBOURS} <= set(links)


def test_four_pictures_share_a_clock():
    header, arrays = unpack(thumbnails.payload(7))
    assert [panel["id"] for panel in header["panels"]] == ["walkers", "chains", "circle", "optimiser"]
    assert {len(arrays[f"{panel['id']}/positions"]) for panel in header["panels"]} == {thumbnails.FRAMES}


def test_walkers_end_in_the_model():
    """All start in the first state; at the end the shares are those of p⁽ᵗ⁾, within four standard errors."""
    x = thumbnails.arrays(7)["walkers"]
    corners = thumbnails.ROOM * 0.8 * three_states.CORNERS
    nearest = np.linalg.norm(x[:, :, None] - corners, axis=-1).argmin(-1)
    gamma = three_states.rates(torch.tensor(thumbnails.ENERGIES, dtype=torch.float64))
    p = three_states.evolve(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), gamma, thumbnails.TIME).numpy()
    shares = np.bincount(nearest[-1], minlength=3) / thumbnails.WALKERS
    assert (nearest[0] == 0).all()
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / thumbnails.WALKERS)).all()


def test_optimiser_ends_at_the_minimum_and_chains_spread():
    found = thumbnails.arrays(7)
    surface = make_surface(thumbnails.SURFACE, thumbnails.PARTS, 7)
    assert np.abs(found["optimiser"][-1, 0] - surface.minimum.numpy()).max() < 1e-3
    assert np.ptp(found["chains"][0], 0).max() == 0 and found["chains"][-1].std(0).min() > 0.3


def test_every_neighbour_is_a_page_of_the_course():
    assert {one.page for one in text.NEIGHBOURS} <= set(course.lessons())
    assert all(f"**{one.title}**" in text.SHARED for one in text.NEIGHBOURS)


def test_the_python_runs(capsys):
    exec(thumbnails.python_of(7), {})
    assert "torch.Size" not in capsys.readouterr().out
