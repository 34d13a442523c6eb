"""Training and sampling of the U-Net on one GPU: eager, compiled, and with CUDA graphs, beside the peers, on random images.

The network is the medium U-Net, for 28 × 28 grey and 32 × 32 colour images, in batches of 64 and 512, in float32 (with PyTorch's
defaults, TF32 in convolutions) and bfloat16. A training step is one of the Trainer: batch, dequantisation, loss, gradient, Adam, average.
A sampling step is one of DDIM. "Compiled" is torch.compile's default mode, "CUDA graphs" its mode reduce-overhead, which ``--compile``
uses on a GPU. The peers run their own training scripts' steps and their own DDIM, eager, in bfloat16 under autocast. A rate is
the number of steps in a window of one second after a warm-up. "÷ fastest peer" compares with the faster peer at the same shape, batch
and precision. What the time limit leaves no room for is not measured, and the last lines say so.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import monotonic, perf_counter
from typing import NamedTuple

import torch

from benchmarks import _image_peers
from benchmarks._image_run import fresh_model
from benchmarks._report import footer, table
from dpm_core.config import IMAGE_RUN, NetworkConfig, RunConfig
from dpm_core.data.images import ImageDataset, from_pools
from dpm_core.networks import NETWORKS
from dpm_core.samplers import ddim
from dpm_core.training import Trainer
from dpm_core.training.trainer import PRECISIONS

OURS = "U-Net, ours"
MODES = {"eager": None, "graphs": "reduce-overhead", "compiled": "default"}  # of torch.compile
# in this order, because the time is limited and compiling takes most of it
STAGES = (("eager", "training"), ("eager", "sampling"), ("graphs", "training"), ("compiled", "training"), ("graphs", "sampling"))
TITLES = {"eager": "eager", "graphs": "CUDA graphs", "compiled": "compiled"}
SHAPES: tuple[_image_peers.Shape, ...] = ((1, 28, 28), (3, 32, 32))
BATCHES, POOL, STEPS = (64, 512), 1000, 50  # images per step; random images to draw from; of DDIM
WINDOW, WARM_UP = 1.0, 3  # seconds of a measurement; calls before it: the first compiles, the next two record CUDA graphs
OUT = Path(__file__).resolve().parent.parent / "artefacts" / "gpu.json"


class Case(NamedTuple):
    """One rate to be measured."""

    task: str  # "training" or "sampling"
    shape: _image_peers.Shape
    batch: int
    precision: str
    network: str  # OURS or a peer
    mode: str


class Setting(NamedTuple):
    """Where and how long: the device, the seconds of a window, calls before it, sampling steps."""

    device: str
    window: float
    warm_up: int
    steps: int


def cases(modes: list[str], peers: list[str], batches: tuple[int, ...]) -> Iterator[Case]:
    """Yield every case in the order of the stages; the peers are eager."""
    for mode, task in STAGES:
        for precision, shape, batch in product(("bfloat16", "float32"), SHAPES, batches) if mode in modes else ():
            for network in [OURS, *(peers if mode == "eager" else [])]:
                yield Case(task, shape, batch, precision, network, mode)


@functools.cache
def random_images(shape: _image_peers.Shape) -> ImageDataset:
    """A data set of random grey levels."""
    images = torch.randint(0, 256, (POOL, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return from_pools("random", "Random grey levels", images, images[:2])


def our_work(case: Case, dataset: ImageDataset, setting: Setting) -> Callable[[], object]:
    """Return the function that takes one training step, or all sampling steps, of our network."""
    run: RunConfig = replace(IMAGE_RUN, network=NetworkConfig("unet", NETWORKS["unet"].sizes["medium"]))
    model = fresh_model(case.shape, run).to(setting.device)
    training = case.task == "training"
    config = replace(run.training, batch=case.batch, precision=case.precision, steps=10**9)
    trainer = Trainer(model, dataset.batches(setting.device), config) if training else None
    if mode := MODES[case.mode]:
        model.network.compile(mode=mode, dynamic=False)  # the shapes of one case never change
    if trainer is not None:
        return trainer.step
    model.eval().requires_grad_(False).precision = PRECISIONS[case.precision]
    x = torch.randn(case.batch, *case.shape, generator=torch.Generator().manual_seed(0)).to(setting.device)

    def sample() -> None:
        for _ in ddim(model, model.diffusion, x, steps=setting.steps):
            pass

    return sample


def peer_work(case: Case, dataset: ImageDataset, setting: Setting) -> Callable[[], object]:
    """Return the same function of a peer."""
    peer = _image_peers.load(case.network, case.shape, setting.device)
    assert peer is not None, "only installed peers have cases"
    pool, generator = dataset.train.to(setting.device), torch.Generator(setting.device).manual_seed(0)

    def work() -> None:
        with torch.autocast(setting.device, torch.bfloat16, enabled=case.precision == "bfloat16"):
            if case.task == "sampling":
                peer.sample(case.batch, setting.steps, 0)
            else:
                peer.step(pool[torch.randint(len(pool), (case.batch,), generator=generator, device=pool.device)])

    return work


def rate(case: Case, setting: Setting) -> float:
    """Steps per second of a case."""
    dataset = random_images(case.shape)
    work = (our_work if case.network == OURS else peer_work)(case, dataset, setting)
    each = setting.steps if case.task == "sampling" else 1
    wait = torch.cuda.synchronize if setting.device == "cuda" else lambda: None
    for _ in range(setting.warm_up):
        work()
    wait()
    done, start = 0, perf_counter()
    while done == 0 or perf_counter() - start < setting.window:
        work()
        wait()  # sampling does not, and would only queue its steps
        done += each
    return done / (perf_counter() - start)


def measured(case: Case, setting: Setting) -> float | str:
    """Return the rate of a case, or why there is none: one compiler error must not end a run on a machine that is lent."""
    try:
        return rate(case, setting)
    except Exception as error:
        print(f"{case}: {error}", file=sys.stderr)
        return f"failed ({type(error).__name__})"
    finally:  # frees the compiled code and the memory of this case
        if MODES[case.mode]:
            torch.compiler.reset()
        if setting.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def rows(task: str, found: dict[Case, float | str]) -> list[list[str]]:
    """Return the rows of one task: the rate, images per second, and the ratios to our own eager rate and to the fastest peer."""
    out = []
    for case in sorted((case for case in found if case.task == task), key=lambda case: (case.shape, case.batch, case.precision)):
        value = found[case]
        title = [f"{case.network}, {TITLES[case.mode]}", " × ".join(map(str, case.shape)), str(case.batch), case.precision]
        if isinstance(value, str):
            out.append([*title, value, "", "", ""])
            continue
        same = {other: v for other, v in found.items() if other[:4] == case[:4] and isinstance(v, float)}
        eager = same.get(case._replace(network=OURS, mode="eager"))
        fastest = max((v for other, v in same.items() if other.network != OURS), default=None)
        ratios = [f"{value / base:.2f}" if base else "" for base in (eager if case.network == OURS else None, fastest)]
        out.append([*title, f"{value:.1f}", f"{value * case.batch:,.0f}" if task == "training" else "", *ratios])
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Training and sampling steps per second of the U-Net on one GPU.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="device (default cuda)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the work: smaller batches, shorter windows")
    parser.add_argument("--minutes", type=float, default=8.5, help="no measurement starts after this time (default 8.5)")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES), help="which modes of ours (default all)")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file with all rates (default artefacts/gpu.json)")
    args = parser.parse_args(argv)
    if not (args.scale > 0 and args.minutes > 0):
        parser.error(f"--scale {args.scale:g} and --minutes {args.minutes:g} must be positive.")
    if args.device == "cuda" and not torch.cuda.is_available():
        print("This machine has no CUDA GPU; add --device cpu to try the benchmark on the processor.")
        return
    on_gpu, scale = args.device == "cuda", args.scale
    modes = [mode for mode in MODES if mode in args.modes and (on_gpu or mode != "graphs")]
    if "graphs" in args.modes and not on_gpu:
        print("CUDA graphs are left out, because they need a GPU.")
    setting = Setting(args.device, WINDOW * scale, WARM_UP if on_gpu else 1, max(2, round(STEPS * scale)))
    batches = tuple(max(1, round(batch * scale)) for batch in BATCHES)
    installed = [name for name in _image_peers.PEERS if _image_peers.load(name) is not None]
    until, found, skipped = monotonic() + 60 * args.minutes, dict[Case, float | str](), list[Case]()
    with contextlib.redirect_stdout(sys.stderr):  # what a peer prints is no part of the tables
        for case in cases(modes, installed, batches):
            if monotonic() >= until:
                skipped.append(case)
            else:
                found[case] = measured(case, setting)
    for task in ("training", "sampling"):
        table([task, "shape", "batch", "precision", "steps/s", "images/s", "÷ ours, eager", "÷ fastest peer"], rows(task, found))
    if missing := [name for name in _image_peers.PEERS if name not in installed]:
        print(f"Not installed: {', '.join(missing)}.")
    if skipped:
        print(f"The time limit left out {len(skipped)} of {len(found) + len(skipped)} measurements, the first of them {skipped[0]}.")
    line = footer(torch.cuda.get_device_name() if on_gpu else "")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rates = [{**case._asdict(), "steps_per_second": value} for case, value in found.items()]
    args.out.write_text(json.dumps({"measured": line, "rates": rates}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
