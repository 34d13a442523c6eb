"""Data by what a person types, and the data of a checkpoint again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from dpm_core.config import IMAGE_RUN, DataConfig, RunConfig
from dpm_core.data import sources, toy2d, uploads
from dpm_core.data.errors import DataError
from dpm_core.data.images import ImageDataset, ImageSpec, make_images
from dpm_core.data.toy2d import PlaneDataset

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def refused(*args, **kwargs):
    with pytest.raises(DataError) as caught:
        sources.make(*args, **kwargs)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.fixture
def brought(tmp_path):
    """What a person has: a picture and a table."""
    Image.fromarray(PICTURE).save(tmp_path / "Photo.PNG")
    (tmp_path / "mine.csv").write_text("x,y\n0,5\n1,7\n4,6.5\n")
    return tmp_path


def test_a_name_in_the_plane():
    """As make_dataset gives it; the config names the noise that was used, given or not."""
    dataset, config = sources.make("moons")
    assert isinstance(dataset, PlaneDataset) and config == DataConfig("moons", dataset.noise)
    dataset, config = sources.make("moons", 0.2)
    assert dataset.noise == 0.2 and config == DataConfig("moons", 0.2)
    assert torch.equal(dataset.points, toy2d.make_dataset("moons", 0.2).points)


def test_a_name_of_images():
    dataset, config = sources.make("brick", params=(("size", 16),))
    assert isinstance(dataset, ImageDataset) and dataset.shape == (1, 16, 16)
    assert config == DataConfig("brick", params=(("size", 16),))


def test_a_picture_is_cut(brought):
    """By the ending whatever its case; the config says "image", as the file is the person's own."""
    dataset, config = sources.make(str(brought / "Photo.PNG"), params=(("size", 16),))
    whole = make_images("image", (("size", 16),), PICTURE)
    assert torch.equal(dataset.train, whole.train) and torch.equal(dataset.held_out, whole.held_out)
    assert dataset.shape == (3, 16, 16) and config == DataConfig("image", params=(("size", 16),))


def test_a_table_of_points(brought):
    dataset, config = sources.make(str(brought / "mine.csv"), 0.2)
    np.testing.assert_allclose(dataset.points.numpy() * dataset.scale + dataset.mean, [[0, 5], [1, 7], [4, 6.5]], atol=1e-12)
    assert (dataset.title, config) == ("mine", DataConfig("own", 0.2))
    assert sources.make(str(brought / "mine.csv"))[1].noise == toy2d.OWN_NOISE


@pytest.mark.parametrize(
    "args, words",
    [
        (("doughnut",), "doughnut"),
        (("nowhere.csv",), "no file nowhere.csv"),
        (("nowhere.png",), "no file nowhere.png"),
        (("moons", None, (("size", 8),)), "for images"),
        (("moons", 5.0), "noise"),
        (("digits", 0.1), "noise is for points"),
        (("digits", None, (("size", 8),)), "no parameter 'size'"),
        (("brick", None, (("size", "wide"),)), "whole number"),
        (("image",), "upload one"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(args, words):
    assert words in refused(*args)


def test_pictures_that_cannot_be_used_are_one_sentence(brought):
    photo = str(brought / "Photo.PNG")
    assert "noise is for points" in refused(photo, 0.1)
    assert "at most 40" in refused(photo, params=(("size", 50),))
    (brought / "text.png").write_text("no picture")
    assert "not a picture" in refused(str(brought / "text.png"))
    (brought / "folder.png").mkdir()
    assert "no file" in refused(str(brought / "folder.png"))


def test_files_over_their_own_limit_are_not_read(brought, monkeypatch):
    """Pictures may be larger than tables."""
    monkeypatch.setattr(uploads, "MAX_BYTES", 5)
    assert sources.make(str(brought / "Photo.PNG"), params=(("size", 16),))[1].name == "image"
    assert "larger than" in refused(str(brought / "mine.csv"))
    monkeypatch.setattr(uploads, "MAX_IMAGE_BYTES", 5)
    assert "larger than" in refused(str(brought / "Photo.PNG"))


def test_the_usual_run():
    """Points take RunConfig(), images IMAGE_RUN with a chain that starts at the finest noise their levels need."""
    data = DataConfig("moons", 0.1)
    assert sources.usual_run(toy2d.make_dataset("moons", 0.1), data) == RunConfig(data)
    digits = make_images("digits")
    run = sources.usual_run(digits, DataConfig("digits"))
    assert dataclasses.replace(run, schedule=IMAGE_RUN.schedule) == IMAGE_RUN
    assert run.schedule.T == 1000 and dict(run.schedule.params)["start"] == digits.finest_log_snr
    assert sources.usual_run(digits.spec, DataConfig("digits")) == run


def test_the_live_run():
    """The usual one for points; for images the cosine schedule, the ε-loss and small batches, all else as usual."""
    data = DataConfig("moons", 0.1)
    assert sources.live_run(toy2d.make_dataset("moons", 0.1), data) == RunConfig(data)
    digits = make_images("digits")
    run, usual = (make(digits, DataConfig("digits")) for make in (sources.live_run, sources.usual_run))
    assert (run.schedule.name, run.schedule.T, run.training.loss, run.training.batch) == ("cosine", usual.schedule.T, "simple", 32)
    same = dataclasses.replace(run.training, loss=usual.training.loss, batch=usual.training.batch)
    assert dataclasses.replace(run, schedule=usual.schedule, training=same) == usual


def test_the_data_of_a_checkpoint_are_standardised_as_its_model_learned_them():
    """Pools by name; mean and scale those of the spec, whatever the files would give now."""
    digits = make_images("digits")
    again = sources.of_checkpoint(digits.spec, DataConfig("digits"))
    assert torch.equal(again.held_out, digits.held_out) and again.spec == digits.spec
    old = dataclasses.replace(digits.spec, mean=2.0, scale=5.0)
    again = sources.of_checkpoint(old, DataConfig("digits"))
    assert (again.mean, again.scale) == (2.0, 5.0)
    x = again.sample_held_out(359, torch.Generator().manual_seed(0))
    assert float(x.mean()) == pytest.approx((digits.mean - 2) / 5, abs=0.02)


def test_data_that_are_there_already_stay():
    for dataset, config in ((toy2d.make_dataset("moons"), DataConfig("moons")), (make_images("digits"), DataConfig("digits"))):
        assert sources.of_checkpoint(dataset, config) is dataset


@pytest.mark.parametrize("shape, levels", [((1, 16, 16), 17), ((3, 8, 8), 17), ((1, 8, 8), 256)])
def test_images_that_have_changed_are_refused(shape, levels):
    spec = ImageSpec("digits", "Digits", shape, 5.0, 5.0, levels)
    with pytest.raises(DataError, match="as in the checkpoint"):
        sources.of_checkpoint(spec, DataConfig("digits"))


def test_a_picture_that_was_not_kept_is_asked_for():
    with pytest.raises(DataError, match="upload one"):
        sources.of_checkpoint(ImageSpec("image", "Own", (3, 8, 8), 100.0, 50.0), DataConfig("image"))
