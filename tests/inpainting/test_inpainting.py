"""Filling holes: what is known stays, the same seed gives the same picture, patterns go on, and every error is one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dpm_core import checkpoints
from dpm_core.cli.main import main
from dpm_core.config import DataConfig, NetworkConfig
from dpm_core.data.images import make_images
from dpm_core.inpainting.model_filling import InpaintingError, fill_by_model, incompatibility, neighbourhood
from dpm_core.inpainting.patch_filling import PatchConfig, fill_by_patches
from dpm_core.inpainting.patches import PatchError

QUICK = PatchConfig(steps=10, finer_steps=5, candidates=800)


def stripes(H=64, W=72, colour=True):
    """Diagonal bands, eight pixels wide."""
    i, j = np.mgrid[:H, :W]
    grey = (((i + j) // 8 % 2) * 150 + 50).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey // 2], -1) if colour else grey


def grainy():
    """The same with noise, so that no two completions are alike."""
    return (stripes().astype(int) + np.random.default_rng(0).integers(-9, 10, (64, 72, 3))).astype(np.uint8)


def square(picture, top, left, side):
    missing = np.zeros(picture.shape[:2], bool)
    missing[top : top + side, left : left + side] = True
    return missing


def last(steps):
    *_, end = steps
    return end


@pytest.mark.parametrize("colour", [True, False])
def test_a_pattern_goes_on(colour):
    """A 24-pixel hole in stripes: nine in ten pixels within 40 levels of the truth, where the best constant has half."""
    picture = stripes(colour=colour)
    missing = square(picture, 20, 24, 24)
    spoiled = np.where(missing[..., None] if colour else missing, 7, picture).astype(np.uint8)
    end = last(fill_by_patches(spoiled, missing, n=2, seed=1))
    assert end.share == 1 and end.guess.shape == (2, *picture.shape) and end.guess.dtype == np.uint8
    for one in end.guess:
        near = np.abs(one[missing].astype(int) - picture[missing]) < 40
        assert near.mean() > 0.9
        assert np.array_equal(one[~missing], picture[~missing])


def test_what_is_under_the_mask_is_never_seen():
    """Any values in the hole: the same completion, bit for bit."""
    picture = grainy()
    missing, other = square(picture, 30, 10, 12), grainy()
    other[missing] = 255 - other[missing]
    a, b = (last(fill_by_patches(p, missing, 1, 3, QUICK)).guess for p in (picture, other))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, last(fill_by_patches(picture, missing, 1, 4, QUICK)).guess)


def test_progress_rises_to_the_end():
    picture = stripes()
    steps = list(fill_by_patches(picture, square(picture, 10, 10, 30), 1, 0, QUICK))
    shares = [step.share for step in steps]
    calls = [step.calls for step in steps]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    assert calls == sorted(calls) and calls[0] == 1 and len(steps) - 2 <= calls[-1] < len(steps), "copying asks no kernel"
    assert np.array_equal(steps[-1].guess, steps[-1].state) and not np.array_equal(steps[0].guess, steps[0].state)
    for step in steps:
        assert np.array_equal(step.guess[0][:8], picture[:8])


@pytest.mark.parametrize("box", [(0, 0, 20), (44, 52, 20), (0, 30, 30)])
def test_holes_at_the_border(box):
    picture = stripes()
    missing = square(picture, *box)
    end = last(fill_by_patches(np.where(missing[..., None], 7, picture).astype(np.uint8), missing, 1, 0))
    assert np.array_equal(end.guess[0][~missing], picture[~missing])
    assert (np.abs(end.guess[0][missing].astype(int) - picture[missing]) < 40).mean() > 0.8


def test_a_flat_picture_stays_flat():
    picture = np.full((40, 40), 90, np.uint8)
    end = last(fill_by_patches(picture, square(picture, 10, 10, 12), 1, 0, QUICK))
    assert int(np.abs(end.guess[0].astype(int) - 90).max()) <= 3


def test_the_neighbourhood():
    """As much around the hole as it is wide, at least 48 pixels, never beyond the picture."""
    missing = np.zeros((500, 400), bool)
    missing[200:300, 10:30] = True
    assert neighbourhood(missing) == (slice(100, 400), slice(0, 78))


@pytest.mark.parametrize("rule", ["clean", "noised", "repaint"])
def test_a_checkpoint_fills_what_fits(rule):
    loaded, digits = checkpoints.load("digits_unet"), make_images("digits")
    picture = digits.held_out[3, 0].numpy()
    missing = np.zeros((8, 8), bool)
    missing[:, 5:] = True
    steps = list(fill_by_model(loaded, picture, missing, 3, seed=1, steps=12, rule=rule, jump=2, resamplings=3))
    end = steps[-1]
    assert end.share == 1 and end.guess.shape == (3, 8, 8)
    assert all(np.array_equal(one[:, :5], picture[:, :5]) for one in end.guess)
    assert np.array_equal(
        end.guess, last(fill_by_model(loaded, picture, missing, 3, seed=1, steps=12, rule=rule, jump=2, resamplings=3)).guess
    )
    assert (end.calls > 12) if rule == "repaint" else (len(steps), end.calls) == (12, 11)  # the step t = 1 is fixed: no call


def test_completions_of_digits_are_nearer_to_them_than_chance():
    """The right quarter of 40 held-out digits: the mean of four completions beats the data's mean there."""
    loaded, digits = checkpoints.load("digits_unet"), make_images("digits")
    missing = np.zeros((8, 8), bool)
    missing[:, 6:] = True
    ours, plain = [], []
    usual = digits.train[:, 0].float().mean(0).numpy()
    for picture in digits.held_out[:40, 0].numpy():
        end = last(fill_by_model(loaded, picture, missing, 4, steps=25))
        ours.append(np.square(end.guess.mean(0)[missing] - picture[missing]).mean())
        plain.append(np.square(usual[missing] - picture[missing]).mean())
    assert np.mean(ours) < 0.75 * np.mean(plain)


def test_only_convolutions_that_learned_from_cuts_take_larger_pictures():
    """Not the paper's network, whose dense branch knows the size, nor one with attention, nor a model of whole pictures."""
    run, picture = checkpoints.load("brick_unet").config, np.zeros((60, 70), np.uint8)
    shape = (1, 32, 32)
    assert incompatibility(run, shape, picture) == "" and "32 × 32 pixels" in incompatibility(run, shape, picture[:20])
    for other in (NetworkConfig("multiscale"), NetworkConfig("unet", (("attention", True),))):
        assert "32 × 32 pixels" in incompatibility(replace(run, network=other), shape, picture)
    assert "32 × 32 pixels" in incompatibility(replace(run, data=DataConfig("digits")), shape, picture)


def test_a_model_of_cuts_takes_larger_pictures():
    picture = make_images("brick").train[0, 0, :80, :90].numpy()
    missing = square(picture, 30, 30, 16)
    end = last(fill_by_model(checkpoints.load("brick_unet"), picture, missing, 1, steps=4))
    assert np.array_equal(end.guess[0][~missing], picture[~missing])


@pytest.mark.parametrize(
    "picture, words",
    [
        (np.zeros((28, 28, 3), np.uint8), "grey pictures, and this picture is in colour"),
        (np.zeros((30, 28), np.uint8), "28 × 28 pixels, and this picture has 28 × 30"),
    ],
)
def test_what_does_not_fit_is_said(picture, words):
    loaded = checkpoints.load("mnist_unet")
    assert words in incompatibility(loaded.config, loaded.dataset.shape, picture)
    with pytest.raises(InpaintingError, match="mnist_unet does not suit this picture"):
        next(fill_by_model(checkpoints.load("mnist_unet"), picture, square(picture, 2, 2, 5)))


@pytest.mark.parametrize(
    "missing, words",
    [
        (np.zeros((64, 72), bool), "No pixel is marked as missing"),
        (np.ones((64, 72), bool), "All pixels are marked as missing"),
        (np.ones((64, 70), bool), "The mask has 70 × 64 pixels and the picture 72 × 64"),
    ],
)
def test_masks_that_ask_for_nothing_are_refused(missing, words):
    with pytest.raises(InpaintingError, match=words):
        next(fill_by_patches(stripes(), missing))


def test_no_known_patch_left():
    missing = np.ones((40, 40), bool)
    missing[::4, ::4] = False
    with pytest.raises(PatchError, match="fully known; paint a smaller hole"):
        next(fill_by_patches(stripes(40, 40), missing))


@pytest.fixture
def files(tmp_path):
    """A picture, its mask and an output path."""
    picture = grainy()
    Image.fromarray(picture).save(tmp_path / "in.png")
    Image.fromarray(square(picture, 20, 20, 10)).save(tmp_path / "mask.png")
    return tmp_path


def test_the_command_fills_one_picture(files, capsys):
    words = [
        "inpaint",
        str(files / "in.png"),
        str(files / "mask.png"),
        "-o",
        str(files / "out.png"),
        "-n",
        "2",
        "--seed",
        "1",
        "--threads",
        "1",
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [str(files / f"out-{i}.png") for i in (1, 2)]
    picture, missing = grainy(), square(grainy(), 20, 20, 10)
    a, b = (np.asarray(Image.open(files / f"out-{i}.png")) for i in (1, 2))
    assert np.array_equal(a[~missing], picture[~missing]) and not np.array_equal(a, b)


def test_the_command_fills_a_folder(files, capsys):
    (files / "pictures").mkdir()
    for name in ("a", "b"):
        (files / "pictures" / f"{name}.png").write_bytes((files / "in.png").read_bytes())
    assert main(["inpaint", str(files / "pictures"), str(files / "mask.png"), "-o", str(files / "out"), "--threads", "1"]) == 0
    assert sorted(p.name for p in (files / "out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["in.png", "nothing.png", "-o", "out.png"], "There is no file"),
        (["in.png", "mask.png", "-o", "out.tiff"], "must end in"),
        (["in.png", "mask.png", "-o", "out.png", "--model", "mnist_unet"], "mnist_unet does not suit this picture"),
        (["in.png", "mask.png", "-o", "out.png", "--model", "swiss_roll_mlp"], "points in the plane"),
        (["in.png", "mask.png", "-o", "out.png", "-n", "0"], "at least one"),
        (["in.png", "in.png", "-o", "out.png", "--model", "none_such"], "none_such"),
        ([".", "mask.png", "-o", "out.png", "--seed", "x"], "invalid int"),
    ],
)
def test_the_command_refuses_in_one_line(files, words, said, capsys, monkeypatch):
    monkeypatch.chdir(files)
    try:
        code = main(["inpaint", *words])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and len(error.strip().splitlines()) == 1
    assert not (files / "out.png").exists()
