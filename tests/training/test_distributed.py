"""Training with several processes (torchrun, gloo): one checkpoint, the same weights everywhere, the gradient of all batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dpm_core import checkpoints
from dpm_core.cli.common import held_out_bound
from dpm_core.cli.main import main
from dpm_core.config import NetworkConfig
from dpm_core.data.images import make_images
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training.losses import LOSSES

ROOT = Path(__file__).resolve().parents[2]
NETWORK = NetworkConfig("unet", (("width", 8),))
STEPS = 5

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="gloo is not built in")

WORKER = """
import json, math, os, sys, time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed

from dpm_core.cli import train as train_command
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule
from dpm_core.training.losses import LOSSES
from dpm_core.training import OutOfMemory, Trainer, TrainingError
from dpm_core.reverse import build_model

torch.set_num_threads(1)
distributed.init_process_group("gloo")
rank, out = distributed.get_rank(), Path(sys.argv[1])
data = torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def make(data, **options):
    diffusion = GaussianDiffusion(make_schedule("log_snr", 20))
    model = build_model(NetworkConfig("unet", (("width", 8),)), diffusion, (1, 8, 8))
    torch.nn.init.normal_(model.network.outputs.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return Trainer(model, data, TrainConfig(**({"steps": 1000, "batch": 6, "clip": 1e9} | options)))


trainer, kept = make(data), {}
for number in range(1, int(sys.argv[2]) + 1):
    step = trainer.step()
    kept |= {f"{name}.{number}": value.contiguous() for name, value in zip(step.batch._fields, step.batch.inputs)}
    if number == 1:
        kept |= {f"gradient.{name}": p.grad.contiguous() for name, p in trainer.model.named_parameters()}
kept |= {f"weights.{k}": v.contiguous() for k, v in trainer.model.state_dict().items()}
kept |= {f"average.{k}": v.contiguous() for k, v in trainer.average.state_dict().items()}

other = make(data)  # a pause of both
other.restore(trainer.state())
trainer.step(), other.step()
pairs = zip(trainer.state().values(), other.state().values())
notes = {"restored": all(torch.equal(a, b) for a, b in pairs)}

clock = time.monotonic  # the second process believes that its time is up long before the first does, then long after
for name, speed in (("fast", 50.0), ("slow", 0.02)):
    if rank == 1:
        train_command.time.monotonic = lambda: speed * clock()
    timed = make(data)
    notes[name] = sum(1 for _ in train_command._steps(timed, 0.3))
    train_command.time.monotonic = clock
    distributed.barrier()


def spoiled(n, generator):
    spoiled.calls += 1
    return data[:n] * (math.nan if rank == 1 and spoiled.calls == 3 else 1.0)


spoiled.calls = 0
trainer = make(spoiled)
try:
    for _ in range(9):
        trainer.step()
except TrainingError as error:
    notes |= {"error": str(error), "step": error.step}
notes["finite"] = all(bool(p.isfinite().all()) for p in trainer.model.parameters())


def too_large(*batch):
    raise torch.OutOfMemoryError("CUDA out of memory.")


trainer = make(data)
if rank == 1:
    LOSSES["bound"] = too_large
    try:
        trainer.step()
    except OutOfMemory as error:
        notes["memory"] = [str(error), error.batch]
save_file(kept, out / f"{rank}.safetensors")
(out / f"{rank}.json").write_text(json.dumps(notes))
distributed.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # as the command line does
"""


def together(*words, **more):
    """Two processes by torchrun; a hang is a failure."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""} | more
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=400)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes kept: tensors and notes."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "worker.py").write_text(WORKER)
    done = together(str(folder / "worker.py"), str(folder), str(STEPS))
    assert done.returncode == 0, done.stderr
    return [(load_file(folder / f"{rank}.safetensors"), json.loads((folder / f"{rank}.json").read_text())) for rank in (0, 1)]


def part(tensors, name):
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


def test_all_processes_end_with_the_same_weights(ranks):
    """Bit for bit after five steps, the averages too; and they have moved."""
    (first, _), (second, _) = ranks
    start = build_model(NETWORK, GaussianDiffusion(make_schedule("log_snr", 20)), (1, 8, 8)).state_dict()
    for name in ("weights", "average"):
        a, b = part(first, name), part(second, name)
        assert a.keys() == b.keys() == start.keys() and all(torch.equal(a[k], b[k]) for k in a)
        assert not torch.equal(a["network.inputs.weight"], start["network.inputs.weight"])


@pytest.mark.parametrize("name", ["x0", "t", "noise"])
def test_each_process_draws_its_own_batches(ranks, name):
    """Over five steps: other noise in every number, other times, and of 30 rows out of 500 few in common."""
    a, b = (torch.cat([part(tensors, name)[str(k)] for k in range(1, STEPS + 1)]) for tensors, _ in ranks)
    assert len(a) == len(b) == STEPS * 6 and not torch.equal(a, b)
    if name == "noise":
        assert bool((a.flatten(1)[:, None] != b.flatten(1)[None]).all())
    if name == "x0":  # about two by chance
        shared = (a.flatten(1)[:, None] == b.flatten(1)[None]).all(2).sum()
        assert int(shared) < 12


def test_the_gradient_is_that_of_both_batches(ranks):
    """One process on the twelve data of both: every parameter's gradient, to 1e-5 of the largest."""
    model = build_model(NETWORK, GaussianDiffusion(make_schedule("log_snr", 20)), (1, 8, 8))
    torch.nn.init.normal_(model.network.outputs.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    batch = [torch.cat([part(tensors, name)["1"] for tensors, _ in ranks]) for name in ("x0", "t", "noise")]
    LOSSES["bound"](model, *batch).mean().backward()
    largest = max(float(p.grad.abs().max()) for p in model.parameters())
    for tensors, _ in ranks:
        for name, parameter in model.named_parameters():
            error = (part(tensors, "gradient")[name] - parameter.grad).abs().max()
            assert float(error) < 1e-5 * largest, name
    assert largest > 0.1


def test_a_pause_of_all_processes_keeps_everything(ranks):
    assert all(notes["restored"] for _, notes in ranks)


@pytest.mark.parametrize("speed", ["fast", "slow"])
def test_the_first_process_says_when_the_time_is_up(ranks, speed):
    """Whatever the clock of the other: the same number of steps, or one would wait forever."""
    steps = [notes[speed] for _, notes in ranks]
    assert steps[0] == steps[1] >= 1


def test_a_loss_that_is_not_finite_in_one_process_stops_all(ranks):
    """NaN in the second one's third batch: both say so, name step 2, and keep finite weights."""
    for _, notes in ranks:
        assert notes["error"].startswith("The loss or its gradient is not finite at step 3; the weights of step 2 are unchanged.")
        assert notes["step"] == 2 and notes["finite"]


def test_a_process_that_runs_out_of_memory_does_not_wait_for_the_others(ranks):
    """It says so at once: smaller batches cannot be tried alone."""
    assert ranks[1][1]["memory"] == ["A batch of 6 does not fit into this device's memory; choose a smaller one.", None]


OPTIONS = [
    "--data",
    "digits",
    "--network-param",
    "width=8",
    "-T",
    "20",
    "--steps",
    "40",
    "--warmup",
    "5",
    "--ema",
    "0.9",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and output of a training on digits by two processes of 32 data each."""
    folder = tmp_path_factory.mktemp("trained")
    argv = ["-m", "dpm_core", "train", *OPTIONS, "--threads", "1", "--batch", "32", "--name", "pair"]
    done = together(*argv, DPM_CHECKPOINTS=str(folder))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_one_checkpoint_is_written_and_one_process_speaks(trained):
    folder, done = trained
    assert sorted(p.name for p in folder.iterdir()) == ["pair.json", "pair.safetensors"]
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith("K = ") and lines[1] == str(folder / "pair.safetensors")
    assert "destroy_process_group" not in done.stderr and "Traceback" not in done.stderr
    meta = checkpoints.load(folder / "pair.safetensors").meta
    assert meta["command"].startswith("torchrun --nproc-per-node=2 -m dpm_core train --data digits")
    assert meta["trained_on"] == "cpu × 2" and meta["steps"] == 40


def test_two_processes_learn_what_one_does_with_twice_the_batch(trained, tmp_path, monkeypatch):
    """K after 40 steps to 0.05 bits per pixel (other data, other noise), of over 0.3 that were learned."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path))
    assert main(["train", *OPTIONS, "--threads", "1", "--batch", "64", "--name", "alone"]) == 0
    pair, alone = checkpoints.load(trained[0] / "pair.safetensors"), checkpoints.load("alone")
    fresh = build_model(alone.config.network, alone.diffusion, alone.shape)
    start = held_out_bound(fresh, make_images("digits"), 0, 2000).bound_bits / 64
    k = [one.meta["bound_bits"] / 64 for one in (pair, alone)]
    assert abs(k[0] - k[1]) < 0.05 and min(k) - start > 0.3
