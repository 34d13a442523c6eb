"""The two programs for a GPU, on the processor and with small networks: training in pieces, and the table of rates."""

from __future__ import annotations

import json
import shlex
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import _image_peers, gpu, gpu_checkpoints
from dpm_core import checkpoints
from dpm_core.cli import train
from dpm_core.cli.main import main as dpm_core_main
from dpm_core.cli.main import make_parser
from dpm_core.config import NetworkConfig, RunConfig, ScheduleConfig
from dpm_core.data.kinds import HeldOut
from dpm_core.data.kinds.images import Images
from dpm_core.networks import NETWORKS

PLAN = (
    gpu_checkpoints.Model("first", 10_000, 8, "--data digits --network-param width=8 -T 20 --lr 0.003"),
    gpu_checkpoints.Model("second", 500, 8, "--data digits --network-param width=8 -T 20 --loss simple"),
)
MINUTES = "0.0000001"  # after which a call has taken the one step that every call takes, and a few more
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "brick": (1, 32, 32), "dead_leaves": (1, 32, 32), "cifar10": (3, 32, 32)}
SHAPES |= {"binary_digits": (1, 8, 8), "heartbeat": (20,)}


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Call the program with a plan of two small networks, a hundredth of whose steps are taken; what it prints."""
    monkeypatch.setattr(gpu_checkpoints, "PLAN", PLAN)
    monkeypatch.setattr(Images, "held_out", lambda kind, spec: HeldOut(64, every_time=False))

    def run(minutes: str) -> str:
        common = ["--device", "cpu", "--threads", "1", "--scale", "0.01", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
        gpu_checkpoints.main([*common, "--minutes", minutes])
        return capsys.readouterr().out

    return run


def test_training_in_pieces_gives_the_weights_of_the_recorded_command(call, tmp_path):
    """Interrupted at least once, continued, and compared bit by bit with the one command that the checkpoint records."""
    first = call(MINUTES)
    assert "Left: first from step " in first and " of 100, then second; run the same command again to continue." in first
    assert not (tmp_path / "out").exists()
    assert "All 2 models are finished" in call("5")
    for name, steps in (("first", 100), ("second", 5)):
        loaded = checkpoints.load(tmp_path / "out" / f"{name}.safetensors")
        header = checkpoints.read_header(tmp_path / "out" / f"{name}.safetensors")
        assert header["steps"] == steps and loaded.shape == (1, 8, 8)
        python, dash_m, module, *words = shlex.split(header["command"])
        assert (python, dash_m, module) == ("python", "-m", "dpm_core")
        assert dpm_core_main([*words, "--out", str(tmp_path / "whole")]) == 0
        pieces, whole = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in ("out", "whole"))
        assert pieces.keys() == whole.keys() and all(torch.equal(pieces[key], whole[key]) for key in whole)
        assert all(tensor.dtype == torch.float16 for tensor in whole.values())
        again = checkpoints.read_header(tmp_path / "whole" / f"{name}.safetensors")
        assert all(header[key] == again[key] for key in ("config", "data", "bound_bits", "command"))


def test_a_finished_model_is_not_trained_again(call, tmp_path):
    assert "All 2" in call("5")
    assert "step" not in call("5")
    header = tmp_path / "work" / "second.json"  # as after a change of the plan
    header.write_text(header.read_text().replace("--steps 5 ", "--steps 4 "))
    printed = call("5")
    assert "second: step 0 of 5" in printed and "first: step" not in printed


def test_the_program_says_that_there_is_no_gpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^This machine has no CUDA GPU; add --device cpu"):
        gpu_checkpoints.main(["--work", str(tmp_path / "work")])
    gpu.main(["--out", str(tmp_path / "gpu.json")])
    assert capsys.readouterr().out.startswith("This machine has no CUDA GPU; add --device cpu")
    assert not list(tmp_path.iterdir())


def test_every_row_of_the_plan_is_a_command_and_a_small_network():
    """Below 4.2 MB in half precision, as a shipped checkpoint must be."""
    for model in gpu_checkpoints.PLAN:
        args = make_parser().parse_args(gpu_checkpoints.words(model, "cuda", 1.0, 1))
        assert (args.name, args.steps, args.half, args.compile, args.device) == (model.name, model.steps, True, True, "cuda")
        bits = args.data in ("binary_digits", "heartbeat")
        usual = RunConfig(schedule=ScheduleConfig(T=2000 if bits else 1000), network=NetworkConfig("unet"))
        run = train._run_config(args, usual)
        network = NETWORKS[run.network.name](shape=SHAPES[args.data], T=run.schedule.T, **dict(run.network.params))
        assert 2 * sum(p.numel() for p in network.parameters()) < 4_200_000, model.name


class Peer:
    """A peer that does nothing, quickly."""

    seen: list = []  # noqa: RUF012 - emptied by the test

    def __init__(self, shape, device):
        self.shape, self.network = shape, SimpleNamespace(parameters=list)

    def step(self, images):
        self.seen.append(("training", tuple(images.shape), torch.is_autocast_enabled("cpu")))

    def sample(self, n, steps, seed):
        self.seen.append(("sampling", (n, *self.shape), torch.is_autocast_enabled("cpu")))


def test_the_table_of_rates(tmp_path, monkeypatch, capsys):
    """A rate for each case, the peers at the same shapes, batches and precisions, and ratios that agree with the rates."""
    Peer.seen.clear()
    monkeypatch.setattr(_image_peers, "PEERS", {"quick": Peer})
    gpu.main(["--device", "cpu", "--scale", "0.01", "--modes", "eager", "graphs", "--out", str(tmp_path / "gpu.json")])
    printed = capsys.readouterr().out
    assert "CUDA graphs are left out, because they need a GPU." in printed
    assert torch.__version__.split("+")[0] in printed
    saved = json.loads((tmp_path / "gpu.json").read_text())
    cases = {(r["task"], tuple(r["shape"]), r["batch"], r["precision"], r["network"]): r["steps_per_second"] for r in saved["rates"]}
    assert len(cases) == len(saved["rates"]) == 2 * 2 * 2 * 2 * 2 and min(cases.values()) > 0
    wanted = {
        (task, (batch, *shape), half)
        for task in ("training", "sampling") for shape in gpu.SHAPES for batch in (1, 5) for half in (True, False)
    }  # fmt: skip
    assert set(Peer.seen) == wanted
    cells = [line.strip("| ").split("|") for line in printed.splitlines() if line.startswith(f"| {gpu.OURS}")]
    assert len(cells) == 16
    for row in cells:
        rate, images, own, peers = (cell.strip() for cell in row[4:])
        assert own == "1.00" and float(peers) < 1 and float(rate) > 0
        assert not images or float(images.replace(",", "")) == pytest.approx(float(rate) * int(row[2]), abs=0.8)
