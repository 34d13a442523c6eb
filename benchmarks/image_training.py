"""What training on images gives on two threads: images per second, and how good the samples are after 1, 3 and 10 minutes.

First table: training steps of batch 64 on MNIST, or on CIFAR-10 with ``--data cifar10``, ours with the network that
the app proposes and the peers' own loops on ready batches. All take turns, five windows each after a warm-up;
medians. Target: no slower than the fastest peer.

Second table: 1,000 samples by 50 steps, judged by a small classifier that is trained here once (its accuracy is
printed): mean of its largest probability, share above 0.9, entropy of the classes it sees relative to that of the
held-out images (1 when all ten come about as often), and the Fréchet distance of its 64 features to the 10,000
held-out images. The floor is that distance for 1,000 training images that the classifier has not learned from,
mean of ten draws. K is that of held-out images, in bits per pixel of standardised data. Target: nearer than the
peer after the same time.
Ours, all as the app proposes it, trains afresh for each time, as its learning rate's cosine has an end; the fastest
peer keeps its rate, so one run of it is looked at three times, from the average of its weights. Minutes are
wall-clock inside training steps. Sheets of 64 samples go to artefacts/. All of it takes the sum of the minutes, once
more the longest for the peer, and about twenty minutes for sampling. ``--quick`` is for trying the script: its numbers
mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from benchmarks import _image_peers
from benchmarks._classifier import RECIPES, Judge
from benchmarks._image_run import fresh_trainer, train, use_threads
from benchmarks._report import footer, spread, table, verdict
from dpm_core.config import IMAGE_RUN
from dpm_core.data.images import ImageDataset, make_images
from dpm_core.figures.rasters import png, tile
from dpm_core.measure.bound import estimate_bound
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import SAMPLERS

ARTEFACTS = Path(__file__).resolve().parent.parent / "artefacts"
OURS, SHEET, CHUNK = "U-Net, ours", 64, 250


def window(step: Callable[[], None], seconds: float) -> float:
    """Images per second over at least ``seconds`` and one step."""
    done, start = 0, perf_counter()
    while done == 0 or perf_counter() - start < seconds:
        step()
        done += IMAGE_RUN.training.batch
    return done / (perf_counter() - start)


def levels(dataset: ImageDataset, generator: torch.Generator) -> Tensor:
    """A training batch as grey levels, which the peers take."""
    return dataset.train[torch.randint(len(dataset.train), (IMAGE_RUN.training.batch,), generator=generator)]


def rates(dataset: ImageDataset, windows: int, seconds: float) -> tuple[list[list[str]], str | None]:
    """Rows of the first table, and the fastest peer's name."""
    generator = torch.Generator().manual_seed(0)
    steps, sizes = {}, {}
    for precision in ("float32", "bfloat16"):
        trainer = fresh_trainer(dataset, precision, IMAGE_RUN.training.batch)
        name = OURS if precision == IMAGE_RUN.training.precision else f"{OURS}, {precision}"
        steps[name], sizes[name] = trainer.step, _image_peers.parameters(trainer.model)
    missing = []
    for name in _image_peers.PEERS:
        if (peer := _image_peers.load(name, dataset.shape)) is None:
            missing.append(name)
            continue
        steps[name] = lambda peer=peer: peer.step(levels(dataset, generator))
        sizes[name] = _image_peers.parameters(peer.network)
    for step in steps.values():
        window(step, seconds)
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(windows):
        for name, step in steps.items():
            found[name].append(window(step, seconds))
    medians = {name: statistics.median(values) for name, values in found.items()}
    peers = {name: rate for name, rate in medians.items() if name in _image_peers.PEERS}
    fastest = max(peers, key=peers.__getitem__, default=None)
    rows = []
    for name, rate in sorted(medians.items(), key=lambda item: -item[1]):
        ratio = rate / medians[fastest] if fastest else None
        target = verdict(ratio, 1, 0, at_most=False) if name == OURS and ratio is not None else ""
        between = f"{min(found[name]):.0f}–{max(found[name]):.0f}"
        rows.append([name, f"{sizes[name]:,}", f"{rate:.0f}", between, f"{ratio:.2f}" if ratio is not None else "", target])
    return rows + [[name, "", "not installed", "", "", ""] for name in missing], fastest


def drawn(model: ReverseModel, dataset: ImageDataset, sampler: str, n: int, steps: int) -> Tensor:
    """n samples as grey levels uint8 ``[n, C, H, W]``."""
    generator, parts = torch.Generator().manual_seed(1), []
    for first in range(0, n, CHUNK):
        shape = (min(CHUNK, n - first), *dataset.shape)
        *_, last = SAMPLERS[sampler](model, model.diffusion, shape, steps=steps, generator=generator)
        parts.append(dataset.pixels(last.x))
    return torch.cat(parts)


def peer_drawn(peer: _image_peers.Peer, n: int, steps: int) -> Tensor:
    """The same from a peer."""
    return torch.cat([peer.sample(min(CHUNK, n - first), steps, first) for first in range(0, n, CHUNK)])


def sheet(images: Tensor, name: str) -> None:
    """64 samples as a picture in artefacts/."""
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / f"image_training-{name}.png").write_bytes(png(tile(images[:SHEET].permute(0, 2, 3, 1).numpy())))


class Quality:
    """The second table, row by row."""

    head = (
        *("samples of", "minutes", "steps", "sampler", "largest p", "p > 0.9", "entropy ÷ data's"),
        *("Fréchet", "÷ floor", "target", "K, bits/pixel"),
    )

    def __init__(self, judge: Judge, n: int):
        self.judge, self.rows = judge, []
        floors = judge.floor(n)
        self.floor = statistics.mean(floors)
        held = judge.held_out
        self.add("held-out images", [""] * 3, [*self.looks(held), "", "", "", ""])
        self.add(f"{n:,} training images", [""] * 3, [*self.looks(judge.fresh), spread(floors, 2), "1.00", "", ""])

    def add(self, name: str, run: list[str], cells: list[str]) -> None:
        """A row, printed at once as well: the whole takes long."""
        self.rows.append([name, *run, *cells])
        print("  " + " | ".join(self.rows[-1]), flush=True)

    def looks(self, seen) -> list[str]:
        """Confidence, share above 0.9 and entropy ratio."""
        ratio = seen.class_entropy_bits / self.judge.held_out.class_entropy_bits
        return [f"{seen.confidence:.3f}", f"{seen.confident():.3f} ± {seen.confident_error():.3f}", f"{ratio:.2f}"]

    def measure(self, name: str, run: list[str], images: Tensor, bound: str = "", against: float | None = None) -> float:
        """A row for samples, with the distance; ``against``: the peer's, which ours should not exceed."""
        seen = self.judge.look(images)
        distance, error = self.judge.distance(seen), self.judge.distance_error(seen)
        target = "" if against is None else verdict(distance, against, 2)
        self.add(name, run, [*self.looks(seen), f"{distance:.2f} ± {error:.2g}", f"{distance / self.floor:.1f}", target, bound])
        return distance


def bits_per_pixel(model: ReverseModel, dataset: ImageDataset, n: int) -> str:
    """K of n held-out images."""
    x0 = dataset.sample_held_out(n, torch.Generator().manual_seed(2))
    bound = estimate_bound(model, model.diffusion, x0, torch.Generator().manual_seed(3))
    return f"{bound.bound_bits / dataset.pixels_count:.3f} ± {bound.standard_error_bits / dataset.pixels_count:.3f}"


def peer_quality(quality: Quality, name: str, dataset: ImageDataset, minutes: list[float], n: int, steps: int) -> dict[float, float]:
    """The peer's rows, and its distances by minutes."""
    peer, generator = _image_peers.load(name, dataset.shape), torch.Generator().manual_seed(0)
    used, done, distances = 0.0, 0, {}
    for limit in minutes:
        while used < 60 * limit:
            batch = levels(dataset, generator)
            start = perf_counter()
            peer.step(batch)
            used += perf_counter() - start
            done += 1
        images = peer_drawn(peer, n, steps)
        sheet(images, f"{dataset.name}-{name}-{limit:g}min-ddim")
        distances[limit] = quality.measure(name, [f"{limit:g}", f"{done:,}", f"DDIM, {steps}"], images)
    return distances


def our_quality(
    quality: Quality, dataset: ImageDataset, minutes: list[float], n: int, steps: int, pairs: int, peer: dict[float, float]
) -> None:
    """Our rows."""
    for limit in minutes:
        trainer = fresh_trainer(dataset)
        done = train(trainer, 60 * limit)
        bound = bits_per_pixel(trainer.average, dataset, pairs)
        for sampler, title in (("ddim", "DDIM"), ("ancestral", "ancestral")):
            images = drawn(trainer.average, dataset, sampler, n, steps)
            sheet(images, f"{dataset.name}-ours-{limit:g}min-{sampler}")
            against = peer.get(limit) if sampler == "ddim" else None
            quality.measure(OURS, [f"{limit:g}", f"{done:,}", f"{title}, {steps}"], images, bound if sampler == "ddim" else "", against)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training on images on two threads, ours and peers.")
    parser.add_argument("--data", choices=RECIPES, default="mnist", help="data set (default mnist)")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 3.0, 10.0], help="after how much training the samples are judged")
    parser.add_argument("--quick", action="store_true", help="only try the script: seconds instead of minutes")
    args = parser.parse_args()
    minutes = [0.05] if args.quick else sorted(args.minutes)
    windows, seconds = (1, 0.5) if args.quick else (5, 6.0)
    n, steps, pairs = (64, 4, 64) if args.quick else (1000, 50, 10_000)

    use_threads()
    dataset = make_images(args.data)
    rows, fastest = rates(dataset, windows, seconds)
    table(["training, batch 64", "parameters", "images/s", "windows", "÷ fastest peer", "target"], rows)
    judge = Judge(dataset, args.quick)
    trained = f"trained in {judge.seconds:.0f} s" if judge.seconds else "from the temporary folder"
    print(f"The classifier, {trained}, is right on {judge.accuracy:.2%} of {len(judge.fresh.features):,} images it did not learn from.\n")
    quality = Quality(judge, n)
    peer = peer_quality(quality, fastest, dataset, minutes, n, steps) if fastest else {}
    our_quality(quality, dataset, minutes, n, steps, pairs, peer)
    print()
    table(quality.head, quality.rows)
    footer()


if __name__ == "__main__":
    main()
