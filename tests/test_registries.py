"""Adding a schedule, a data set or a network touches one file: each test does what that file would do, uses it and removes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dpm_core.config import DataConfig, NetworkConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.data.bits import BIT_SETS, Drawn, Listed, bit_set, is_listed, make_bits, shape_of
from dpm_core.data.errors import DataError
from dpm_core.data.images import IMAGE_SETS, Pools, available, image_set, make_images
from dpm_core.data.kinds import kind_of
from dpm_core.data.toy2d import DATASETS, SHAPES, make_dataset, plane_set
from dpm_core.networks import NETWORKS, network, networks_for
from dpm_core.process import BinomialDiffusion, GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ancestral
from dpm_core.schedules import SCHEDULES, make_schedule, schedule
from dpm_core.training import Trainer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def registries():
    """Whatever a test enters is removed after it."""
    saved = [(registry, dict(registry)) for registry in (SCHEDULES, SHAPES, IMAGE_SETS, BIT_SETS, NETWORKS)]
    yield
    for registry, before in saved:
        registry.clear()
        registry.update(before)


def trained(network_config, diffusion, data, shape, steps=4):
    """The average model after a few steps, and samples of it."""
    model = build_model(network_config, diffusion, shape, seed=0)
    before = [parameter.clone() for parameter in model.parameters()]
    trainer = Trainer(model, data, TrainConfig(steps=steps, batch=16, learning_rate=1e-3))
    losses = [trainer.step().loss for _ in range(steps)]
    assert np.isfinite(losses).all() and any(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
    for step in ancestral(trainer.average, diffusion, (5, *shape), generator=torch.Generator().manual_seed(1)):
        last = step
    assert last.t == 0 and last.x.shape == (5, *shape) and bool(last.x.isfinite().all())


def test_a_schedule():
    @schedule("Half")
    def half(T, beta=0.5):
        """β_t = 1/2."""
        return torch.full((T,), beta, dtype=torch.float64)

    assert SCHEDULES["half"].title == "Half"
    made = make_schedule("half", 3, beta=0.25)
    assert made.alpha_bar(3) == pytest.approx(0.75**3)
    trained(NetworkConfig("mlp", (("width", 8),)), GaussianDiffusion(made), DATASETS["moons"].sample(64), (2,))


def test_every_schedule_has_a_title_of_its_own():
    assert SCHEDULES["paper"].title == "Paper: 1/(T−t+1)" and SCHEDULES["log_snr"].title == "Linear log-SNR"
    assert len({one.title for one in SCHEDULES.values()}) == len(SCHEDULES) == 9


def test_a_data_set_in_the_plane():
    @plane_set("diamond", "Diamond", noise=0.1)
    def diamond(spacing):
        """The edges of a square that stands on a corner."""
        u = np.arange(0, 1, spacing / 2)
        edges = [np.stack([x * (1 - u) + y * u, x * u - y * (1 - u)], 1) for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        points = np.concatenate(edges)
        return points, np.full(len(points), 1 / len(points))

    data, config = sources.make("diamond")
    assert data is not DATASETS["diamond"] and torch.equal(data.points, DATASETS["diamond"].points)
    assert config == DataConfig("diamond", 0.1) and data.title == "Diamond" and kind_of("diamond").name == "points"
    x = data.sample(20_000, torch.Generator().manual_seed(0))
    assert x.mean(0).tolist() == pytest.approx([0, 0], abs=0.03) and x.var(0).tolist() == pytest.approx([1, 1], abs=0.05)
    assert "diamond" not in make_dataset("moons").name
    trained(NetworkConfig("rbf"), GaussianDiffusion(make_schedule("paper", 5)), x[:64], (2,))


def test_an_image_data_set():
    @image_set(
        "stripes", "Stripes", "Random rows.", (("side", 8), ("contrast", 1.0), ("seed", None)), missing=lambda: "Put nothing anywhere."
    )
    def stripes(progress, side, contrast, seed):
        """Rows of one grey level each."""
        rows = np.random.default_rng(seed or 0).integers(0, 256, (40, 1, side, 1)) * contrast
        images = np.broadcast_to(rows, (40, 1, side, side)).astype(np.uint8)
        return Pools(images[:30], images[30:])

    data, config = sources.make("stripes", params=(("side", 10), ("contrast", 0.5)))
    assert config == DataConfig("stripes", params=(("side", 10), ("contrast", 0.5)))
    assert data.shape == (1, 10, 10) and data.size == 30 and int(data.train.max()) < 128 and available("stripes").startswith("Put")
    assert torch.equal(make_images("stripes").train, make_images("stripes", (("contrast", 1), ("seed", None))).train)
    for params, words in (
        ((("width", 3),), "it has side, contrast, seed"),
        ((("contrast", "high"),), "a number"),
        ((("side", True),), "whole"),
    ):
        with pytest.raises(DataError, match=words):
            make_images("stripes", params)
    trained(NetworkConfig("unet", (("width", 8),)), GaussianDiffusion(make_schedule("cosine", 5)), data.batches(), data.shape)


def test_data_sets_of_bits():
    """One whose patterns are listed, one that is a pool."""

    @bit_set("one_hot", "One hot", "A single 1.", (("length", 6),), shape=lambda length: (length,))
    def one_hot(progress, length):
        """All places of a single 1, equally likely."""
        return Listed(np.eye(length, dtype=np.uint8))

    @bit_set("coins", "Coins", "Fair coins.", shape=lambda: (7,), listed=lambda: False)
    def coins(progress):
        """Draws of seven coins."""
        draws = np.random.default_rng(0).integers(0, 2, (50, 7), dtype=np.uint8)
        return Drawn(draws[:40], draws[40:])

    data, config = sources.make("one_hot", params=(("length", 8),))
    assert data.entropy() == pytest.approx(np.log(8)) and data.shape == shape_of("one_hot", config.params) == (8,)
    pool = make_bits("coins")
    assert not pool.listed and len(pool.held_out) == 10 and is_listed("one_hot") and not is_listed("coins")
    assert kind_of("coins").entropy(pool) is None and kind_of("one_hot").held_out(data).every_time
    diffusion = BinomialDiffusion(make_schedule("paper", 5, beta_1=1e-3), data.rate)
    trained(NetworkConfig("bit_mlp", (("width", 8),)), diffusion, data.batches(), data.shape)


def test_a_network():
    @network("line", "Linear", ("points",), {"small": (("scale", 1.0),), "medium": (), "large": ()})
    class Line(nn.Module):
        """F and v linear in x."""

        def __init__(self, shape, T, scale=1.0):
            super().__init__()
            self.layer = nn.Linear(shape[0], 2 * shape[0])
            self.scale = scale

        def forward(self, x, t, log_snr):
            """(F, v), each shaped as x."""
            return (self.scale * self.layer(x)).chunk(2, 1)

    assert list(networks_for("points", (2,))) == ["mlp", "rbf", "line"] and NETWORKS["line"].title == "Linear"
    assert isinstance(NETWORKS["line"].build(shape=(2,), T=5), Line)
    diffusion = GaussianDiffusion(make_schedule("linear", 6))
    trained(NetworkConfig("line", NETWORKS["line"].sizes["small"]), diffusion, DATASETS["circles"].sample(64), (2,))


@pytest.mark.parametrize(
    "folder, body, check",
    [
        ("networks", "@network('new', 'New')\nclass New(MLP): pass", "from dpm_core.networks import NETWORKS as R"),
        ("data/images", "@image_set('new', 'New', '')\ndef new(progress): ...", "from dpm_core.data.images import IMAGE_SETS as R"),
        (
            "data/bits",
            "@bit_set('new', 'New', '', shape=lambda: (2,))\ndef new(progress): ...",
            "from dpm_core.data.bits import BIT_SETS as R",
        ),
    ],
)
def test_a_new_file_is_found_and_comes_last(tmp_path, folder, body, check):
    """In a copy of the package: a file added to the folder is imported without a change anywhere else."""
    head = {
        "networks": "from dpm_core.networks.registry import network\nfrom dpm_core.networks.mlp import MLP\n",
        "data/images": "from dpm_core.data.images.registry import image_set\n",
        "data/bits": "from dpm_core.data.bits.registry import bit_set\n",
    }[folder]
    shutil.copytree(ROOT / "dpm_core", tmp_path / "dpm_core", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "dpm_core" / folder / "a_new_one.py").write_text(head + body + "\n")
    done = subprocess.run([sys.executable, "-c", f"{check}; print(*R)"], capture_output=True, text=True, check=True, cwd=tmp_path)
    names = done.stdout.split()
    assert names[-1] == "new" and len(names) > 3
