"""Image sets: constants by enumeration, noise of one level that comes off exactly, cuts and held-out parts by position."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpm_core.data.errors import DataError
from dpm_core.data.images import IMAGE_SETS, MARGIN, ImageDataset, ImageSpec, available, dead_leaves, make_images, textures
from dpm_core.data.images.pools import from_pools

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BUILT_IN = ["digits", "dead_leaves", "brick", "grass", "gravel", "image"]
PHOTO = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)


def made(name, **params):
    return make_images(name, tuple(params.items()), PHOTO if name == "image" else None)


@pytest.fixture(scope="module")
def sets():
    return {name: made(name) for name in BUILT_IN}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("DPM_DATA", str(tmp_path))
    return tmp_path


def sentence(*args, **kwargs):
    with pytest.raises(DataError) as caught:
        make_images(*args, **kwargs)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


def positions(height=90, width=160):
    """A picture that says where each of its pixels is: (row, column, 7)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.full_like(x, 7)], -1).astype(np.uint8)


def of_numbers(count=7, side=3, **more):
    """A pool whose image k has the level k everywhere, k = 0 … count − 1; the same held out."""
    pool = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, side, side).contiguous()
    return ImageDataset("numbers", "Numbers", (1, side, side), 3.0, 2.0, train=pool, held_out=pool, **more)


# --- standardising ---

SPECS = [
    ImageSpec("a", "A", (1, 16, 16), 127.3, 73.1),
    ImageSpec("b", "B", (1, 16, 16), 0.5, 0.2887),
    ImageSpec("c", "C", (1, 16, 16), 255.4, 0.3),
    ImageSpec("d", "D", (1, 16, 16), 33.3, 127.9),
]
LEVELS = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_floor_gives_the_grey_level_back_exactly(spec, generator):
    """All 256 levels under 4,000 draws of noise and without noise."""
    images = LEVELS.expand(4000, 1, 16, 16)
    x = spec.standardise(images, generator)
    assert x.dtype == torch.float32 and x.shape == images.shape
    assert torch.equal(spec.pixels(x), images)
    assert torch.equal(spec.pixels(spec.standardise(images)), images)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
@pytest.mark.parametrize("u", [0.0, 2**-24, 0.5, 1 - 2**-24])
def test_even_at_the_ends_of_the_noise(spec, u, monkeypatch, generator):
    """The smallest and largest number that torch.rand can give."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, u))
    assert torch.equal(spec.pixels(spec.standardise(LEVELS, generator)), LEVELS)


@pytest.mark.parametrize("levels", [256, 17])
def test_noise_is_uniform_over_one_level(levels, generator):
    """x·scale + mean − level: Kolmogorov–Smirnov against U[0, 1) with 65,536 draws at the 0.1 % level; independent of the level."""
    spec = ImageSpec("a", "A", (1, 16, 16), 7.25, 4.0, levels)
    k = torch.arange(256).remainder(levels).view(1, 1, 16, 16)
    images = (k * 255 / (levels - 1)).round().to(torch.uint8).expand(256, 1, 16, 16)
    u = spec.standardise(images, generator).double() * 4 + 7.25 - k
    ordered = u.flatten().sort().values
    steps = torch.arange(len(ordered) + 1) / len(ordered)
    distance = max(float((steps[1:] - ordered).max()), float((ordered - steps[:-1]).max()))
    assert distance < 1.95 / 256 and float(ordered[0]) >= MARGIN / 2 and float(ordered[-1]) < 1
    correlation = torch.corrcoef(torch.stack([u.flatten(), k.expand(256, 1, 16, 16).flatten().double()]))[0, 1]
    assert abs(float(correlation)) < 4.5 / 256


def test_without_noise_the_middle_of_the_level():
    spec = SPECS[0]
    wanted = (LEVELS.double() + 0.5 - spec.mean) / spec.scale
    torch.testing.assert_close(spec.standardise(LEVELS).double(), wanted, rtol=1e-6, atol=1e-6)


def test_pixels_beyond_the_range_are_clamped():
    """−∞ … ∞ in grey levels, and bfloat16 in."""
    spec = ImageSpec("a", "A", (1, 1, 6), 100.0, 10.0)
    grey = torch.tensor([-1e9, -0.1, 0.0, 255.99, 256.0, 1e9])
    x = ((grey - 100) / 10).view(1, 1, 1, 6)
    assert spec.pixels(x).flatten().tolist() == [0, 0, 0, 255, 255, 255]
    assert spec.pixels(torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16)).item() == 100


def test_spec_survives_json_and_counts():
    """Plain numbers only, so that a checkpoint can store it; dims counts channels, pixels_count does not."""
    data = made("image")
    again = json.loads(json.dumps(dataclasses.asdict(data.spec)))
    assert ImageSpec(**{**again, "shape": tuple(again["shape"]), "classes": tuple(again["classes"])}) == data.spec
    assert (data.dims, data.pixels_count) == (3 * 32 * 32, 32 * 32)
    assert type(data.spec) is ImageSpec and hash(data.spec) == hash(made("image").spec)


def test_two_data_sets_are_never_the_same_thing():
    """Equal specs do not make equal pools."""
    a, b = of_numbers(), of_numbers()
    assert a.spec == b.spec and a != b and len({a, b}) == 2


# --- constants and draws ---


@pytest.mark.parametrize("name", BUILT_IN)
def test_samples_have_mean_0_and_variance_1(sets, name, generator):
    """4,000 training images, 4.5 standard errors from the scatter between images."""
    data = sets[name]
    x = data.sample(4000, generator).double()
    assert x.shape[1:] == data.shape
    for moment, wanted in ((x, 0), (x.square(), 1)):
        each = moment.mean((1, 2, 3))
        assert abs(float(each.mean()) - wanted) < 4.5 * float(each.std()) / math.sqrt(4000)


@pytest.mark.parametrize("size", [8, 11, 24])
def test_constants_count_every_cut_once(size):
    """Mean and variance of all cuts of a 40 × 24 picture, one by one, to rounding."""
    picture = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    picture[:3] //= 4  # a dark edge, which fewer cuts hold
    data = make_images("image", (("size", size),), picture)
    pool = data.train.double()
    cuts = torch.stack(
        [p[:, r : r + size, c : c + size] for p in pool for r in range(p.shape[1] - size + 1) for c in range(p.shape[2] - size + 1)]
    )
    assert data.size == len(cuts)
    assert data.mean == pytest.approx(float(cuts.mean()) + 0.5, rel=1e-12)
    assert data.scale**2 == pytest.approx(float(cuts.var(correction=0)) + 1 / 12, rel=1e-10)
    assert size == 24 or abs(data.mean - 0.5 - float(pool.mean())) > 0.1  # the plain mean of the pixels is another


def test_digits():
    """scikit-learn's own, each in one of the two parts; 17 levels, noise of one sixteenth; labels go with the images."""
    from sklearn.datasets import load_digits

    data = made("digits")
    originals = load_digits()
    by_image = {image.astype(np.uint8).tobytes(): label for image, label in zip(originals.images, originals.target)}
    sixteenths = (data.train.double() * 16 / 255).round().to(torch.uint8)
    assert [by_image[image.numpy().tobytes()] for image in sixteenths] == data.labels.tolist()
    assert (data.levels, data.shape, data.size, len(data.held_out)) == (17, (1, 8, 8), 1438, 359)
    both = torch.cat([data.train, data.held_out]).view(1797, -1)
    wanted = torch.from_numpy(originals.data) * 255 / 16
    assert sorted(both.tolist()) == sorted(wanted.round().long().tolist())
    assert data.mean == pytest.approx(float(sixteenths.double().mean()) + 0.5)
    assert torch.equal(data.pixels(data.standardise(data.train, torch.Generator().manual_seed(0))), data.train)
    assert data.pixels(torch.full((1, 1, 8, 8), 99.0)).unique().tolist() == [255]


def test_training_draws_are_uniform(generator):
    """7 numbers drawn 70,000 times: each 10,000 times within 4.5 standard deviations."""
    data = of_numbers()
    drawn = data.pixels(data.sample(70_000, generator))[:, 0, 0, 0]
    counts = torch.bincount(drawn.long(), minlength=7)
    assert float((counts - 10_000).abs().max()) < 4.5 * math.sqrt(70_000 / 7 * 6 / 7)


@pytest.mark.parametrize("n", [0, 3, 7, 17, 21])
def test_held_out_draws_come_round(n, generator):
    """No image comes again before all have come: counts differ by at most one; the order is shuffled."""
    data = of_numbers()
    x = data.sample_held_out(n, generator)
    assert x.shape == (n, 1, 3, 3)
    drawn = data.pixels(x)[:, 0, 0, 0].long()
    counts = torch.bincount(drawn, minlength=7)
    assert int(counts.sum()) == n and int(counts.max() - counts.min()) <= 1
    assert n < 17 or drawn[:7].tolist() != drawn[7:14].tolist()


def test_held_out_images_of_one_place_are_one_group():
    """Whole images by their number; cuts by the tile of at least twice their side: equal for equal cuts, near for near ones."""
    data = of_numbers()
    drawn, groups = (draw(21, torch.Generator().manual_seed(3)) for draw in (data.sample_held_out, data.held_out_groups))
    assert torch.equal(groups, data.pixels(drawn)[:, 0, 0, 0].long())
    rows, columns = np.mgrid[:40, :27]
    picture = np.stack([rows, columns, 0 * rows]).astype(np.uint8)[None]
    cuts = from_pools("cuts", "Cuts", picture, picture, size=4)
    drawn, groups = (draw(3000, torch.Generator().manual_seed(3)) for draw in (cuts.sample_held_out, cuts.held_out_groups))
    top, left = cuts.pixels(drawn)[:, 0, 0, 0].double(), cuts.pixels(drawn)[:, 1, 0, 0].double()
    assert sorted(set(groups.tolist())) == list(range(5 * 3))
    for place, side, tiles in ((top, 40, 5), (left, 27, 3)):
        spans = [float(place[groups == g].max() - place[groups == g].min()) + 4 for g in groups.unique()]
        assert max(spans) + 1e-9 >= 8 and max(spans) <= (side - 3) / tiles + 4


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_batch_is_a_sample_and_the_generator_decides(sets, name):
    """batches()(n, g) = sample(n, g) for equal g; another seed, another draw; the global generators stay untouched."""
    data = sets[name]
    torch_before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    draw = data.batches()
    a, b, c = (draw(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(a, data.sample(5, torch.Generator().manual_seed(1)))
    assert torch.equal(data.sample(5), data.sample(5)) and torch.equal(data.sample_held_out(5), data.sample_held_out(5))
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


# --- cuts ---


@pytest.mark.parametrize("draws", ["sample", "sample_held_out"])
def test_cuts_are_pieces_of_the_picture(draws, generator):
    """Each equals the region that its own corner names; training cuts end where held-out ones begin; all positions occur."""
    picture = positions()
    data = make_images("image", (("size", 20),), picture)
    cuts = data.pixels(getattr(data, draws)(4000, generator)).permute(0, 2, 3, 1).numpy()
    corners = cuts[:, 0, 0, :2].astype(int)
    for cut, (y, x) in zip(cuts, corners):
        np.testing.assert_array_equal(cut, picture[y : y + 20, x : x + 20])
    first, last = (0, 119) if draws == "sample" else (120, 159)  # the right quarter is held out
    assert corners[:, 1].min() == first and corners[:, 1].max() + 19 == last
    assert corners[:, 0].min() == 0 and corners[:, 0].max() + 19 == 89


def test_cut_positions_are_uniform(generator):
    """12 × 8 cuts of 8 pixels, 40,000 draws, χ² with 95 degrees of freedom below its 99.9 % point."""
    data = make_images("image", (("size", 8),), np.ascontiguousarray(positions(19, 23)))
    assert data.size == 12 * 8
    cuts = data.pixels(data.sample(40_000, generator))
    counts = torch.bincount(cuts[:, 0, 0, 0].long() * 8 + cuts[:, 1, 0, 0].long(), minlength=96)
    expected = 40_000 / 96
    assert float(((counts - expected) ** 2 / expected).sum()) < 143.3


def test_a_tall_picture_holds_out_its_lower_end():
    data = make_images("image", (("size", 10),), positions(100, 40))
    assert data.train[0, 0].unique().tolist() == list(range(75))
    assert data.held_out[0, 0].unique().tolist() == list(range(75, 100))


@pytest.mark.parametrize("width, held_out", [(64, 32), (63, None), (128, 32), (200, 50)])
def test_how_much_of_a_picture_is_held_out(width, held_out):
    """A quarter, at least one image; all of it, as for training, when there is no room for two."""
    data = make_images("image", (), positions(32, width))
    assert data.held_out.shape[3] == (held_out or width)
    assert data.train.shape[3] == width - (held_out or 0)


def test_the_size_of_cuts_fits_a_small_picture():
    assert make_images("image", (), positions(20, 90)).shape == (3, 20, 20)
    assert make_images("image", (("size", None),), positions(50, 90)[:, :, 1]).shape == (1, 32, 32)


@pytest.mark.parametrize(
    "params, image, words",
    [
        ((), None, "upload"),
        ((("size", 33),), positions(32, 64), "choose at most 32"),
        ((("size", 7),), positions(), "between 8 and 128"),
        ((("size", 129),), positions(200, 200), "between 8 and 128"),
        ((("size", 8.0),), positions(), "whole number"),
        ((("size", True),), positions(), "whole number"),
        ((("side", 8),), positions(), "no parameter 'side'"),
        ((), positions(7, 40), "at least 8 × 8"),
        ((), positions() / 255, "8 bits"),
        ((), positions()[None], "grey or RGB"),
        ((), np.zeros((20, 20, 4), np.uint8), "grey or RGB"),
    ],
)
def test_images_that_cannot_be_cut(params, image, words):
    assert words in sentence("image", params, image)


# --- textures ---


@pytest.mark.parametrize("name", textures.BUNDLED)
def test_bundled_textures_hold_out_their_right_quarter(name, folder):
    """No file, no network; both parts together are scikit-image's picture."""
    import skimage.data

    assert available(name) is None
    data = made(name, size=40)
    assert data.shape == (1, 40, 40) and data.train.shape == (1, 1, 512, 384)
    np.testing.assert_array_equal(torch.cat([data.train, data.held_out], 3)[0, 0].numpy(), getattr(skimage.data, name)())


def test_a_texture_that_is_not_bundled_is_looked_for(folder, monkeypatch):
    """Without it one sentence; with skimage_brick.png or brick.png in "textures" that very picture."""
    import skimage

    monkeypatch.setattr(skimage, "__file__", str(folder / "elsewhere" / "__init__.py"))
    for message in (available("brick"), sentence("brick")):
        assert "brick.png" in message and str(folder / "textures") in message
    (folder / "textures").mkdir()
    picture = positions(64, 128)[:, :, 1]
    for name in ("skimage_brick.png", "brick.png"):
        Image.fromarray(picture).save(folder / "textures" / name)
        data = made("brick")
        np.testing.assert_array_equal(torch.cat([data.train, data.held_out], 3)[0, 0].numpy(), picture)
        picture = 255 - picture


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_a_folder_of_textures(folder):
    """Grey by luma, by order of name, cut to the common size, the right part of each held out; other files do not matter."""
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (80, 120), dtype=np.uint8), rng.integers(0, 256, (64, 160, 3), dtype=np.uint8)
    save(folder / "textures" / "bark" / "b.png", grey)
    save(folder / "textures" / "bark" / "a.PNG", colour)
    (folder / "textures" / "bark" / "readme.txt").write_text("bark")
    (folder / "textures" / "empty").mkdir()
    assert available("textures") is None and textures.folders() == ["bark"]
    data = made("textures", folder="bark", size=16)
    luma = np.rint(colour @ [0.299, 0.587, 0.114])
    whole = torch.cat([data.train, data.held_out], 3)[:, 0].numpy()
    np.testing.assert_array_equal(whole, [luma[:64, :120], grey[:64, :120]])
    assert data.held_out.shape == (2, 1, 64, 30)


def test_textures_in_other_formats(folder):
    """JPEG (lossy: a flat picture stays flat) and lossless WebP."""
    save(folder / "textures" / "mine" / "a.jpg", np.full((40, 80), 77, np.uint8))
    save(folder / "textures" / "mine" / "b.webp", np.full((40, 80, 3), 99, np.uint8), lossless=True)
    data = made("textures", folder="mine")
    assert data.train[0].unique().tolist() == [77] and data.train[1].unique().tolist() == [99]


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "a/b", "a\\b", "/etc", "C:", "a\0b", "a\nb"])
def test_folders_have_plain_names(folder, name):
    """Nothing outside "textures" is ever looked at, even if it is there."""
    save(folder.parent / "secret" / "a.png", np.zeros((64, 64), np.uint8))
    save(folder / "textures" / "a" / "b" / "a.png", np.zeros((64, 64), np.uint8))
    assert "without slashes" in sentence("textures", (("folder", name),))


def test_textures_that_cannot_be_used(folder):
    """No folder named, none there, one with too small or damaged pictures: the sentence names the file."""
    assert "none yet" in sentence("textures")
    assert "folder" in available("textures")
    assert str(folder / "textures" / "bark") in sentence("textures", (("folder", "bark"),))
    save(folder / "textures" / "bark" / "small.png", np.zeros((32, 63), np.uint8))
    assert "small.png has 63 × 32 pixels" in sentence("textures", (("folder", "bark"),))
    assert "available are: bark" in sentence("textures")
    save(folder / "textures" / "wide" / "wide.png", np.zeros((32, 64), np.uint8))
    save(folder / "textures" / "wide" / "high.png", np.zeros((64, 32), np.uint8))
    assert "32 × 32 pixels; images of 32 pixels need at least 64 × 32" in sentence("textures", (("folder", "wide"),))
    (folder / "textures" / "torn").mkdir()
    (folder / "textures" / "torn" / "torn.png").write_bytes(b"no picture")
    assert sentence("textures", (("folder", "torn"),)).startswith("torn.png: ")


@pytest.mark.skipif(not (SHARED / "bark").is_dir(), reason="the bark textures are not on this machine")
def test_the_real_bark(monkeypatch):
    """A folder beside "textures" is found, too; its copies of scikit-image's pictures are the bundled ones."""
    monkeypatch.setenv("DPM_DATA", str(SHARED))
    data = made("textures", folder="bark", size=64)
    assert data.train.shape == (7, 1, 512, 384)
    for row, name in zip((4, 5, 6), textures.BUNDLED):
        assert torch.equal(data.train[row], made(name).train[0])


# --- the registry ---


def test_every_set_is_described():
    assert list(IMAGE_SETS) == [
        "digits",
        "mnist",
        "fashion_mnist",
        "cifar10",
        "dead_leaves",
        "brick",
        "grass",
        "gravel",
        "textures",
        "photographs",
        "image",
    ]
    assert {name for name, info in IMAGE_SETS.items() if info.needs_files} == {"mnist", "fashion_mnist", "cifar10", "textures"}


@pytest.mark.parametrize("name", ["digits", "dead_leaves", "image"])
def test_what_needs_no_files_is_available(folder, name):
    assert available(name) is None and list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name, params, words",
    [
        ("imagenet", (), "digits, mnist"),
        ("digits", (("size", 8),), "it has none"),
        ("dead_leaves", (("size", "32"),), "whole number"),
        ("dead_leaves", (("size", None),), "whole number"),
        ("dead_leaves", (("r_min", "1"),), "a number"),
        ("dead_leaves", (("size", 200),), "between 8 and 128"),
        ("brick", (("size", 200),), "between 8 and 128"),
        ("textures", (("folder", 3),), "a name"),
    ],
)
def test_what_is_not_understood_is_said(name, params, words):
    assert words in sentence(name, params)
    if name == "imagenet":
        with pytest.raises(DataError, match="imagenet"):
            available(name)


def test_dead_leaves_by_their_parameters(monkeypatch):
    """Size, seed and radii reach the generator; whole numbers serve as radii; held-out canvases are separate."""
    monkeypatch.setattr(dead_leaves, "TRAINING", 2)
    monkeypatch.setattr(dead_leaves, "HELD_OUT", 1)
    data = made("dead_leaves", size=16, seed=3, r_min=3, r_max=9.5)
    train, held_out = dead_leaves.make(16, 3, 3.0, 9.5)
    np.testing.assert_array_equal(data.train[:, 0].numpy(), train)
    np.testing.assert_array_equal(data.held_out[:, 0].numpy(), held_out)
    assert data.shape == (1, 16, 16) and data.size == 2 * 241**2
