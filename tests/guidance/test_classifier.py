"""A trained classifier of noisy images: what it learns, its checkpoint, and models that are asked for a class by it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from dpm_core import checkpoints
from dpm_core.cli.main import main
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.guidance import classifier_quality, make_model
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer

DIFFUSION = GaussianDiffusion(make_schedule("cosine", 100))
NETWORK = NetworkConfig("classifier", (("width", 16),), classes=10)


@pytest.fixture(scope="module")
def trained():
    """A classifier of the 8 × 8 digits after 250 steps."""
    digits = make_images("digits")
    trainer = Trainer(
        make_model(NETWORK, DIFFUSION, (1, 8, 8)),
        digits.labelled_batches(),
        TrainConfig(loss="label", steps=250, batch=64, learning_rate=4e-3),
    )
    losses = [trainer.step().loss for _ in range(250)]
    assert losses[0] == pytest.approx(math.log(10), abs=0.3)
    return digits, trainer.average


def test_it_reads_held_out_digits(trained):
    """Well without noise, and no better than chance where nothing is left; its cross entropy there is that of ten equal classes."""
    digits, classifier = trained
    x0, y = digits.labelled(359, held_out=True)
    quality = classifier_quality(classifier, x0, y, [1, 100], torch.Generator().manual_seed(0))
    assert quality.accuracy[0] > 0.8 and quality.accuracy[1] < 0.2
    assert quality.cross_entropy_nats[0] < 0.6 and abs(quality.cross_entropy_nats[1] - math.log(10)) < 0.1


def test_it_serves_under_any_schedule(trained):
    """It is asked by log-SNR: equal noise gives equal answers, whatever t is; noise finer than any it has seen counts as the finest."""
    digits, classifier = trained
    other = classifier.with_diffusion(GaussianDiffusion(make_schedule("cosine", 50)))
    x = digits.sample(5)
    torch.testing.assert_close(other.log_probs(x, 20), classifier.log_probs(x, 40), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(classifier.log_probs(x, 0), classifier.log_probs(x, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "shape", "sentence"),
    [
        (NetworkConfig("classifier"), (1, 8, 8), "at least two classes"),
        (NetworkConfig("classifier", classes=3), (2,), "at least 8 pixels a side"),
        (NetworkConfig("classifier", (("width", 9),), classes=3), (1, 8, 8), "divisible by 8"),
    ],
)
def test_what_cannot_be_built(config, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_model(config, DIFFUSION, shape)
    with pytest.raises(ValueError, match="no reverse kernel"):
        build_model(config, DIFFUSION, shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of the user's with a classifier of digits, a conditional model of them and one of points, each hardly trained."""
    home = tmp_path_factory.mktemp("checkpoints")
    common = ["--steps", "3", "--batch", "16", "--out", str(home), "--threads", "1"]
    assert main(["train", "--data", "digits", "--network", "classifier", "--network-param", "width=8", "--name", "reader", *common]) == 0
    digits = ["--data", "digits", "--labels", "--network-param", "width=8", "-T", "20"]
    assert main(["train", *digits, "--name", "digits_by_class", *common]) == 0
    assert main(["train", "--data", "moons", "--labels", "-T", "8", "--label-dropout", "0.3", "--name", "moons_by_class", *common]) == 0
    assert main(["train", "--data", "digits", "--network-param", "width=8", "-T", "20", "--name", "digits_plain", *common]) == 0
    return home


@pytest.fixture
def home(folder, monkeypatch):
    monkeypatch.setenv("DPM_CHECKPOINTS", str(folder))
    return folder


def test_classifiers_have_a_folder_of_their_own(home):
    """They are no models of data: not among these, found by their data, and refused where a model is wanted."""
    assert "reader" not in checkpoints.list_checkpoints() and "reader" in checkpoints.list_classifiers()
    path = home / "classifiers" / "reader.safetensors"
    header = json.loads(path.with_suffix(".json").read_text())
    assert header["config"]["training"]["loss"] == "label" and set(header["accuracy"]) == {"1", "250", "500", "750"}
    assert header["data"]["classes"] == list("0123456789")
    with pytest.raises(checkpoints.CheckpointError, match="'reader' is a classifier and no model of data"):
        checkpoints.load(path)
    with pytest.raises(checkpoints.CheckpointError, match="no classifier"):
        checkpoints.load_classifier(home / "digits_plain.safetensors")
    plain = checkpoints.load("digits_plain")
    found = checkpoints.classifier_of(plain.dataset)
    assert found is not None and found.name == "reader"  # the user's own before the shipped one
    assert checkpoints.classifier_of(replace(plain.dataset, shape=(1, 9, 9))) is None
    assert checkpoints.classifier_of(replace(plain.dataset, mean=128.0, scale=127.5)) is None, "values in other units"


def test_a_conditional_checkpoint_keeps_its_classes(home):
    loaded = checkpoints.load("moons_by_class")
    assert loaded.config.network.classes == 2 and loaded.config.training.label_dropout == 0.3 and loaded.model.classes == 2
    again = checkpoints.load("digits_by_class")
    assert again.dataset.classes == tuple("0123456789")
    assert checkpoints.load("moons_mlp").model.classes == 0  # of older files


def test_asking_takes_the_label_or_the_classifier(home):
    conditional, plain, points = (checkpoints.load(name) for name in ("digits_by_class", "digits_plain", "moons_mlp"))
    asked = checkpoints.ask(conditional, 7, 2.0)
    assert asked.factor is None and int(asked.kernel.label) == 7 and asked.kernel.guidance == 2.0
    mixed = checkpoints.ask(plain, torch.eye(10)[3] + torch.eye(10)[8])
    assert mixed.kernel is plain.model and mixed.factor is not None and mixed.factor.target[8] == 0.5
    asked = checkpoints.ask(plain, 7)
    assert asked.kernel is plain.model and asked.factor is not None and asked.factor.strength == 1.0
    assert asked.factor.classifier.diffusion is plain.diffusion
    exact = checkpoints.ask(points, 1, 3.0).factor
    assert type(exact.classifier).__name__ == "ExactClasses" and exact.strength == 3.0
    with pytest.raises(checkpoints.CheckpointError, match="not class-conditional, and there is no classifier"):
        checkpoints.ask(checkpoints.load("brick_unet"), 0)


@pytest.mark.parametrize(("text", "label"), [("7", 7), ("0", 0)])
def test_labels_by_number_or_name(home, text, label):
    assert checkpoints.label_of(text, checkpoints.load("digits_plain")) == label
    assert checkpoints.label_of(text, checkpoints.load("digits_unet")) == label, "by the classifier's names: older files list none"
    assert checkpoints.label_of("lower moon", checkpoints.load("moons_mlp")) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["moons_by_class", "--label", "2"], "There is no class '2'; the classes of Two moons are upper moon, lower moon."),
        (["moons_by_class", "--label", "-1"], "There is no class '-1'"),
        (["moons_by_class", "--guidance", "2"], "--guidance needs a class; add --label."),
        (["brick_unet", "--label", "0"], "have no classes; leave out the label."),
        (["moons_mlp", "--label", "0", "--guidance", "-1"], "strength must be at least 0"),
    ],
)
def test_wrong_labels_on_the_command_line(home, tmp_path, capsys, arguments, sentence):
    assert main(["sample", *arguments, "-o", str(tmp_path / "x.npz")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_samples_of_a_class_on_the_command_line(home, tmp_path):
    """By the label input with guidance, by a trained classifier, and by the exact one, by which nearly all points are of the class."""
    import numpy as np

    common = ["-n", "4", "--steps", "5", "-o", str(tmp_path / "x.npz")]
    assert main(["sample", "digits_by_class", "--label", "7", "--guidance", "2", *common]) == 0
    assert main(["sample", "digits_plain", "--label", "7", "--guidance", "2", "--sampler", "ddim", *common]) == 0
    assert main(["sample", "moons_mlp", "--label", "lower moon", "-n", "300", "-o", str(tmp_path / "y.npz")]) == 0
    x = torch.from_numpy(np.load(tmp_path / "y.npz")["x"])
    loaded = checkpoints.load("moons_mlp")
    assert float((checkpoints.classifier_for(loaded).log_probs(x, 0).argmax(1) == 1).double().mean()) > 0.95


def test_evaluate_tells_the_information(home, capsys):
    assert main(["evaluate", "moons_by_class", "--json", "-n", "100"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["per_class_bits"]) == 2
    assert report["given_y_bits"] - report["unconditional_bits"] == pytest.approx(report["information_bits"])
    assert main(["evaluate", "moons_by_class", "-n", "100"]) == 0
    assert "K given y" in (out := capsys.readouterr().out) and "I(x; y)" in out


def test_training_without_labels_or_with_a_wrong_loss(home, capsys):
    assert main(["train", "--data", "brick", "--labels", "--name", "x"]) == 2
    assert "has no labels on this machine" in capsys.readouterr().err
    assert main(["train", "--data", "digits", "--loss", "label", "--name", "x"]) == 2
    assert "'label' is for classifiers" in capsys.readouterr().err
    assert main(["train", "--data", "moons", "--network", "rbf", "--labels", "--name", "x"]) == 2
    assert "takes no labels; choose one of mlp, unet, bit_mlp" in capsys.readouterr().err


def test_a_conditional_model_may_begin_with_an_unconditional_one(home, tmp_path, capsys):
    """The labels' vectors are 0 at first; all other weights are those of the checkpoint."""
    begin = ["train", "--data", "digits", "--network-param", "width=8", "-T", "20", "--resume", "digits_plain", "--steps", "1"]
    assert main([*begin, "--labels", "--lr", "1e-12", "--name", "begun", "--out", str(tmp_path)]) == 0
    before, after = checkpoints.load("digits_plain"), checkpoints.load(tmp_path / "begun.safetensors")
    xt = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(after.model.given(3).x0_posterior(xt, 9)[0], before.model.x0_posterior(xt, 9)[0], rtol=1e-4, atol=1e-4)
