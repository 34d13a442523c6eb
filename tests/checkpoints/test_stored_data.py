"""What a checkpoint keeps of its data: as little as a model needs, all of what nobody else has."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dpm_core.config import DataConfig
from dpm_core.data.errors import DataError
from dpm_core.data.images import ImageDataset, ImageSpec, make_images
from dpm_core.data.kinds import kind_of
from dpm_core.data.kinds.images import MAX_SIDE
from dpm_core.data.toy2d import from_points, make_dataset

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
OWN_IMAGE = DataConfig("image", params=(("size", 16),))


def constants(config, dataset):
    return kind_of(config.name).constants(dataset)


def tensors(config, dataset):
    return kind_of(config.name).tensors(config, dataset)


def described_shape(config, header):
    return kind_of(config.name).described_shape(config, header)


def rebuild(config, header, beside):
    return kind_of(config.name).rebuild(config, header, beside)


@pytest.fixture(scope="module")
def sets():
    return {
        "moons": (make_dataset("moons", 0.2), DataConfig("moons", 0.2)),
        "own": (from_points([[0.0, 5.0], [1.0, 7.0], [4.0, 6.5]], title="Three", noise=0.2), DataConfig("own", 0.2)),
        "digits": (make_images("digits"), DataConfig("digits")),
        "image": (make_images("image", (("size", 16),), PICTURE), OWN_IMAGE),
        "small": (make_images("image", (("size", 16),), PICTURE[:20, :20]), OWN_IMAGE),
    }


@pytest.mark.parametrize(
    "name, wanted, kept",
    [
        ("moons", (2,), set()),
        ("own", (2,), {"data.points", "data.weights"}),
        ("digits", (1, 8, 8), set()),
        ("image", (3, 16, 16), {"data.train", "data.held_out"}),
        ("small", (3, 16, 16), {"data.train", "data.held_out"}),
    ],
)
def test_through_json_and_back(sets, name, wanted, kept):
    """Shape, constants and tensors of every kind; what comes back standardises and draws alike."""
    dataset, config = sets[name]
    header, beside = json.loads(json.dumps(constants(config, dataset))), tensors(config, dataset)
    assert set(beside) == kept and dataset.shape == wanted == described_shape(config, header)
    back = rebuild(config, header, beside)
    assert constants(config, back) == constants(config, dataset)
    if name == "digits":
        assert type(back) is ImageSpec
        return
    assert type(back) is type(dataset)
    draws = [one.sample(50, torch.Generator().manual_seed(0)) for one in (back, dataset)]
    assert torch.equal(*draws)


def test_no_two_tensors_share_their_memory(sets):
    """A picture too small to hold anything out is both pools at once, which safetensors would refuse."""
    for dataset, config in sets.values():
        places = [t.untyped_storage().data_ptr() for t in tensors(config, dataset).values()]
        assert len(places) == len(set(places))
    small = sets["small"][0]
    assert torch.equal(small.train, small.held_out)


def test_labels_are_not_kept(sets):
    digits, config = sets["digits"]
    assert digits.labels is not None and not any("label" in key for key in (*constants(config, digits), *tensors(config, digits)))


def test_an_image_of_another_name_keeps_none_of_its_pixels(sets):
    """Pixels go along for "image" alone, whatever the tensors of a foreign file hold."""
    digits, config = sets["digits"]
    pools = {"data.train": digits.train, "data.held_out": digits.held_out}
    assert type(rebuild(config, constants(config, digits), pools)) is ImageSpec
    assert isinstance(rebuild(DataConfig("image"), constants(config, digits), pools), ImageDataset)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, MAX_SIDE])
def test_sides_up_to_the_limit(sets, channels, side):
    header = constants(*sets["digits"][::-1]) | {"shape": [channels, side, 1]}
    assert described_shape(DataConfig("digits"), header) == (channels, side, 1)
    for height, width in ((1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)):
        with pytest.raises(DataError, match="sides up to 256"):
            described_shape(DataConfig("digits"), header | {"shape": [channels, height, width]})


@pytest.mark.parametrize("levels, fits", [(1, False), (2, True), (256, True), (257, False)])
def test_levels_up_to_the_limit(sets, levels, fits):
    header = constants(*sets["digits"][::-1]) | {"levels": levels}
    if fits:
        assert rebuild(DataConfig("digits"), header, {}).levels == levels
    else:
        with pytest.raises(DataError, match="out of range"):
            rebuild(DataConfig("digits"), header, {})


def test_titles_are_cut(sets):
    header = constants(*sets["digits"][::-1]) | {"title": "x" * 1000}
    assert rebuild(DataConfig("digits"), header, {}).title == "x" * 80
