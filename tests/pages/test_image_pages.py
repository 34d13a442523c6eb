"""The pages with images: every set opens, bad pictures are one sentence, and what is shown has the law it claims."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from dpm_core import checkpoints
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from pages.ui import cache
from pages.ui.components.player import unpack
from pages.ui.controls.sampler import SamplerConfig
from pages.ui.kinds.images import recordings, stages
from pages.ui.kinds.images.source import TITLES, ImageSource
from tests.pages.test_pages import check, open_page


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with tiny MNIST files, and the other published sets missing."""
    folder = tmp_path / "data"
    (folder / "mnist").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for file, n in (("train-images-idx3-ubyte", 300), ("t10k-images-idx3-ubyte", 100)):
        body = struct.pack(">4I", 2051, n, 28, 28) + rng.integers(0, 256, n * 784, dtype=np.uint8).tobytes()
        (folder / "mnist" / f"{file}.gz").write_bytes(gzip.compress(body))
    (folder / "textures" / "wood").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (96, 128), dtype=np.uint8)).save(folder / "textures" / "wood" / "a.png")
    monkeypatch.setenv("DPM_DATA", str(folder))
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two untrained models of the digits, T = 60 and T = 7."""
    folder = tmp_path / "models"
    monkeypatch.setenv("DPM_CHECKPOINTS", str(folder))
    spec = make_images("digits").spec
    for name, T in (("long", 60), ("short", 7)):
        config = RunConfig(DataConfig("digits"), ScheduleConfig("log_snr", T), NetworkConfig("unet", (("width", 8),)), TrainConfig())
        model = build_model(config.network, GaussianDiffusion(make_schedule("log_snr", T)), spec.shape)
        checkpoints.save(checkpoints.Checkpoint(name, model, config, spec))
    return folder


def title(name: str) -> str:
    return f"Digits 8 × 8 · U-Net · T = {60 if name == 'long' else 7} · {name}"


@pytest.mark.parametrize("name", ["digits", "mnist", "dead_leaves", "brick", "grass", "gravel", "textures", "image"])
def test_every_set_opens_on_the_forward_page(name, data):
    app = check(open_page("forward", data=TITLES[name]))
    assert not app.error and not app.info
    assert app.selectbox(key="data").value == name
    assert len(app.get("bidi_component")) == 1
    assert app.number_input(key="T").value == 1000


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_missing_files_are_one_sentence_and_the_digits_are_shown(name, data, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the app asked the network by itself"))
    app = check(open_page("forward", data=TITLES[name]))
    assert len(app.info) == 1 and str(data / name) in app.info[0].value
    assert len(app.get("bidi_component")) == 1 and "'digits'" in app.code[0].value
    assert [button.label for button in app.sidebar.button] == [f"Download {TITLES[name]}, {31 if name == 'fashion_mnist' else 170} MB"]


def test_a_download_that_fails_is_one_sentence(data, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no line")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    app = check(open_page("forward", data="Fashion-MNIST"))
    app.button(key="download").click()
    check(app.run())
    assert len(app.error) == 1 and app.error[0].value.endswith(".") and "by hand" in app.error[0].value
    assert len(app.get("bidi_component")) == 1


def test_no_menu_entry_without_a_folder_of_textures(tmp_path, monkeypatch):
    monkeypatch.setenv("DPM_DATA", str(tmp_path))
    app = check(open_page("forward"))
    assert TITLES["textures"] not in app.selectbox(key="data").options
    assert TITLES["image"] in app.selectbox(key="data").options


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG whose header promises 9,000 × 9,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">2I5B", 9000, 9000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


NOISE = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
BAD = {"text.png": b"not a picture", "cut.jpg": png(NOISE, "JPEG")[:900], "bomb.png": bomb(), "empty.png": b""}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_one_sentence_and_the_last_good_one_stays(name):
    app = check(open_page("forward", data=TITLES["image"]))
    app.file_uploader(key="picture").set_value(("good.png", png(NOISE), "image/png"))
    check(app.run())
    assert not app.error and "Showing good.png." in [caption.value for caption in app.caption]
    app.file_uploader(key="picture").set_value((name, BAD[name], "image/png"))
    check(app.run())
    assert len(app.error) == 1 and app.error[0].value.endswith(".")
    assert "Showing good.png." in [caption.value for caption in app.caption]


def test_a_link_brings_back_data_and_T_and_a_change_of_kind_moves_an_untouched_T():
    app = check(open_page("forward", data=TITLES["digits"], T="30", images="4", seed="3"))
    assert (app.selectbox(key="data").value, app.number_input(key="T").value) == ("digits", 30)
    assert "manual_seed(3)" in app.code[0].value and "sample(4," in app.code[0].value
    again = check(open_page("forward", **{key: str(value) for key, value in app.query_params.items()}))
    assert again.code[0].value == app.code[0].value
    app = check(open_page("forward"))
    assert app.number_input(key="T").value == 40
    app.selectbox(key="data").set_value("digits")
    check(app.run())
    assert app.number_input(key="T").value == 1000
    app.number_input(key="T").set_value(12)
    app.run()
    app.selectbox(key="data").set_value("moons")
    check(app.run())
    assert app.number_input(key="T").value == 12


def test_a_set_of_images_does_no_harm_on_a_page_of_the_plane():
    app = check(open_page("forward", data=TITLES["digits"], size="64"))
    check(app.switch_page("pages/schedule.py").run())
    assert not app.error and app.selectbox(key="data").value == "swiss_roll"


def test_forward_payload_holds_the_law_it_claims():
    """The chain has the closed-form mean and variance given its start; clamping is in the picture only."""
    schedule = ScheduleConfig("linear", 50)
    shown = recordings.forward(ImageSource("digits"), schedule, 64, 3)
    header, blocks = unpack(shown.payload)
    bars = cache.diffusion(schedule).schedule.alpha_bar(torch.from_numpy(shown.times)).numpy()
    noise = shown.x - np.sqrt(bars)[:, None, None, None, None] * shown.x[0]
    error = 4 * np.sqrt(2 / noise[0].size)  # four standard errors of a variance, relative
    for t in range(1, len(bars)):
        assert abs(noise[t].var() / (1 - bars[t]) - 1) < error
        assert abs(noise[t].mean()) < 4 * np.sqrt((1 - bars[t]) / noise[t].size)
    assert blocks["steps/pixels"].shape == (51, 64, 8, 8) and header["times"] == list(range(51))
    assert np.array_equal(blocks["steps/pixels"][0], stages.grey_levels(shown.spec, shown.x[0]))
    counts = blocks["cards/2/counts"]
    inside = (np.abs(shown.x) <= 4).mean((1, 2, 3, 4))
    assert np.allclose(counts.sum(1) * (8 / 48), inside, atol=1e-4)


def test_the_linear_guess_is_the_exact_posterior_mean_of_gaussian_data():
    """For data of independent cosine coefficients it is Bayes', and no other linear gain has a smaller error."""
    generator = torch.Generator().manual_seed(0)
    power = 4 / (1 + torch.arange(6.0)[:, None].square() + torch.arange(5.0).square())
    down, across = stages.cosines(6), stages.cosines(5)
    assert torch.allclose(down @ down.T, torch.eye(6), atol=1e-5)
    x0 = down.T @ (power.sqrt() * torch.randn(20_000, 1, 6, 5, generator=generator)) @ across
    scales = stages.Scales(torch.zeros(1, 6, 5), power[None])
    assert torch.allclose(stages.scales_of(x0).power, scales.power, rtol=0.08)
    for bar in (0.9, 0.3):
        xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * torch.randn(x0.shape, generator=generator)
        guess = stages.linear_estimate(scales, xt, bar, 1 - bar)
        expected = (power * (1 - bar) / (bar * power + 1 - bar)).mean()
        assert float((guess - x0).square().mean()) == pytest.approx(float(expected), rel=0.02)
    assert torch.equal(stages.linear_estimate(scales, x0, 0.0, 1.0), torch.zeros_like(x0))
    assert torch.allclose(stages.linear_estimate(scales, x0, 1.0, 0.0), x0, atol=1e-4)


@pytest.mark.parametrize(("n", "dims", "frames"), [(16, 64, 101), (16, 784, 101), (64, 784, 46), (16, 3072, 47), (1, 192 * 192 * 3, 21)])
def test_two_panels_always_fit_the_player(n, dims, frames):
    found, images = stages.budget(1001, n, dims)
    assert found == frames and found * images * dims * 2 < 4_750_000
    assert images == n


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "probability_flow"])
@pytest.mark.parametrize("name", ["long", "short"])
def test_reverse_with_an_image_model(sampler, name, models):
    app = check(open_page("reverse", model=title(name), images="4"))
    assert not app.error and len(app.get("bidi_component")) == 1
    app.selectbox(key="sampler").set_value(sampler)
    check(app.run())
    assert not app.error and f"'{sampler}'" in app.code[0].value


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "probability_flow"])
def test_the_guesses_belong_to_their_states(sampler, models):
    """Beside every x⁽ᵗ⁾ stands what the model says of just this state; the samples are those of the sampler alone."""
    from dpm_core.samplers import SAMPLERS

    ref = cache.ModelRef.of(models / "long.safetensors")
    loaded = cache.model(ref)
    how = SamplerConfig(sampler, 20, 0.0, 9, 5)
    path = recordings.path(ref, how, lambda share: None)
    assert path.times[0] == 60 and path.times[-1] == 0 and len(path.times) == 21
    for i, t in enumerate(path.times[:-1].tolist()):
        mean, _ = loaded.model.x0_posterior(torch.from_numpy(path.x[i]), t)
        assert np.allclose(path.x0[i], mean.numpy(), atol=1e-4), t
    x_T = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    *_, (_, x) = SAMPLERS[sampler](loaded.model, loaded.diffusion, x_T, steps=20, generator=torch.Generator().manual_seed(6))
    assert np.allclose(path.x[-1], x.numpy(), atol=1e-3)


@pytest.mark.parametrize("view", ["samplers", "steps", "models"])
@pytest.mark.parametrize("name", ["long", "short"])
def test_rows_of_samples_from_the_same_noise(view, name, models):
    app = check(open_page("reverse", model=title(name)))
    app.selectbox(key="view").set_value(view)
    check(app.run())
    assert not app.error
    rows = sum("image-rendering" in str(block.proto) for block in app.get("html"))
    assert rows == {"samplers": 3, "steps": 3 if name == "long" else 1, "models": 3}[view]  # two models of one's own, and the shipped one


def test_a_pixel_travels_in_the_link_and_nonsense_is_the_default(models):
    app = check(open_page("reverse", model=title("long"), pick="30,2,5,1"))
    assert any("Image 3 at t = 30" in markdown.value for markdown in app.markdown)
    assert any("pixel (5, 1)" in markdown.value for markdown in app.markdown)
    for nonsense in ("0.5,0.1,2", "1,2,3", "-1,0,0,0", "99999999,0,0,0"):
        app = check(open_page("reverse", model=title("long"), pick=nonsense))
        assert any("Image 1 at" in markdown.value for markdown in app.markdown)
    app = check(open_page("reverse", model=title("long"), pick="7,999,999,999"))  # of a larger model
    assert any("Image 16 at" in markdown.value for markdown in app.markdown)
    app.selectbox(key="model").set_value("swiss_roll_mlp")
    check(app.run())
    assert not app.error


def test_snippets_run(data, models, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(cache.checkpoints.SHIPPED.parent))
    pages = [("forward", {"data": TITLES[name], "T": "20"}) for name in ("digits", "textures", "image")]
    pages += [("reverse", {"model": title("long")}), ("reverse", {"model": title("short"), "view": "Compare samplers"})]
    for page, query in pages:
        code = check(open_page(page, **query)).code[0].value
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, (page, query, done.stderr)
        assert done.stdout.strip()
    with Image.open(tmp_path / "samples.png") as image:
        assert image.size == (8 * 8, 3 * 8)


def test_the_film_holds_every_frame_and_the_images_in_their_places():
    from dpm_core.figures.image_sheets import gif, sheet

    images = np.array([[[0, 255], [128, 64]], [[255, 0], [10, 20]], [[1, 2], [3, 4]]], np.uint8)
    picture = sheet(images, columns=2, side=6, gap=2)
    assert picture.shape == (14, 14, 4)
    assert (picture[:3, 3:6, 0] == 255).all() and (picture[8:, :3][:3, :, 1] == 1).all()
    assert (picture[:, 6:8, 3] == 0).all() and (picture[8:, 8:, 3] == 0).all()
    film = np.broadcast_to(np.arange(0, 250, 50, dtype=np.uint8)[:, None, None, None], (5, 4, 8, 8))
    with Image.open(BytesIO(gif([film, film], size=32))) as moving:
        levels = []
        for i in range(moving.n_frames):
            moving.seek(i)
            levels.append(moving.convert("L").getpixel((3, 3)))
    assert np.allclose(levels, np.arange(0, 250, 50), atol=6)
