"""Links of earlier versions: titles that have changed since still choose what they chose."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.controls.model_titles import model_titles
from pages.ui.session.former_links import FORMER_TITLES

APP = Path(__file__).resolve().parents[2] / "app.py"
# where each parameter is read: the page, and what else its link needs
PAGES: dict[str, tuple[str, dict[str, str]]] = {
    "bits_of": ("bound", {"T": "5"}),
    "denoise_rule": ("denoise", {"denoiser": "digits_unet"}),
    "device": ("train", {"data": "moons"}),
    "filler_large": ("inpaint", {"picture_name": "brick"}),
    "filler_small": ("inpaint", {"picture_name": "digits"}),
    "loss": ("train", {"data": "moons"}),
    "loss_bits": ("train", {"data": "heartbeat"}),
    "loss_images": ("train", {"data": "digits"}),
    "picture_name": ("inpaint", {}),
    "r": ("multiply", {}),
    "r_axis": ("multiply", {"r": "Known coordinate"}),
    "rho": ("forward", {"data": "heartbeat"}),
    "stop_by": ("train", {"data": "moons"}),
    "view": ("reverse", {"model": "mnist_unet"}),
    "way": ("likelihood", {"likelihood_of": "digits_unet"}),
}


@pytest.mark.parametrize(("key", "former"), [(key, former) for key, titles in FORMER_TITLES.items() for former in titles])
def test_a_former_title_in_a_link_chooses_what_it_chose(key, former, own_folders):
    page, query = PAGES[key]
    app = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in {**query, key: former}.items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception
    chosen = next(widget for kind in ("selectbox", "button_group") for widget in app.get(kind) if widget.key == key)
    shown = chosen.format_func(chosen.value) if hasattr(chosen, "format_func") else chosen.value
    now = FORMER_TITLES[key][former]
    assert shown == now or [str(option) for option in chosen.options].index(now) == chosen.index


def test_present_titles_are_among_the_options():
    """A translation to a title that is no option would choose nothing."""
    for key, titles in FORMER_TITLES.items():
        assert key in PAGES and len(set(titles.values())) == len(titles)


def test_links_find_the_shipped_models_by_title():
    """A link holds a model's title: no two are the same, and a new model beside another leaves the other's as it was."""
    titles = model_titles()
    assert len(set(titles.values())) == len(titles)
    for name, title in {
        "swiss_roll_mlp": "Swiss roll · MLP · T = 40",
        "swiss_roll_rbf": "Swiss roll · RBF, 16 units · T = 40",
        "heartbeat_mlp": "Heartbeat · MLP · T = 2000",
        "heartbeat_sigmoid": "Heartbeat · sigmoid layers · T = 2000",
        "mnist_unet": "MNIST · U-Net · T = 1000",
        "mnist_multiscale": "MNIST · multi-scale · T = 1000",
    }.items():
        assert titles[name] == title
