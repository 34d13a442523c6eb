"""How well classes are drawn when they are asked for, and how fast: ``python -m benchmarks.guidance``, on MNIST; about ten minutes.

Samples of ``mnist_classes_unet`` by classifier-free guidance and by the shipped classifier as r(x), at several strengths, from the same
noise, 50 steps of DDIM, the same number of each class. A separate classifier, which no sampler has seen, reads them: the share that is
read as the class asked for, and the mean over classes of the Fréchet distance of its features to held-out digits of the class. Beside
them: samples without guidance (γ = 1 is the conditional model, the row "unguided" asks for no class) and held-out digits.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from benchmarks._classifier import Judge, frechet
from benchmarks._report import footer, table, verdict
from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.data.images import ImageDataset, make_images
from dpm_core.guidance import ClassFactor
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import ddim

STRENGTHS = (1.0, 2.0, 3.0)
OURS = 2.0  # the strength that the Guide page opens with
STEPS, CHUNK, SPEED_IMAGES = 50, 100, 16
ACCURACY, SECONDS = 0.98, 1.0  # targets: at our strength; for 16 images

Draw = Callable[[Tensor, Tensor], Tensor]  # (x_T, labels) → x


def free(loaded: Checkpoint, strength: float) -> Draw:
    """Classifier-free guidance."""

    def draw(x_T: Tensor, labels: Tensor) -> Tensor:
        model: ReverseModel = loaded.model.given(labels, strength - 1)
        *_, last = ddim(model, loaded.diffusion, x_T, steps=STEPS)
        return last.x

    return draw


def classifier(loaded: Checkpoint, strength: float) -> Draw:
    """The shipped classifier as r(x), on the same network without a label."""
    found = checkpoints.classifier_for(loaded)
    assert found is not None

    def draw(x_T: Tensor, labels: Tensor) -> Tensor:
        factor = ClassFactor(found, torch.eye(found.classes)[labels], strength)
        *_, last = ddim(loaded.model, loaded.diffusion, x_T, factor=factor, steps=STEPS)
        return last.x

    return draw


def unguided(loaded: Checkpoint) -> Draw:
    """No class is asked for."""

    def draw(x_T: Tensor, labels: Tensor) -> Tensor:
        *_, last = ddim(loaded.model, loaded.diffusion, x_T, steps=STEPS)
        return last.x

    return draw


def samples(draw: Draw, data: ImageDataset, n: int) -> tuple[Tensor, Tensor]:
    """n images of each class in turn as grey levels, and their labels."""
    generator, parts = torch.Generator().manual_seed(1), []
    labels = torch.arange(n) % 10
    for part in labels.split(CHUNK):
        parts.append(data.pixels(draw(torch.randn(len(part), *data.shape, generator=generator), part)))
    return torch.cat(parts), labels


def quality(judge: Judge, data: ImageDataset, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """The share that is read as its class, and the mean Fréchet distance to held-out digits of the class."""
    seen = judge.look(images)
    right = float((seen.probabilities.argmax(1) == labels).double().mean())
    assert data.held_out_labels is not None
    distances = [frechet(seen.features[labels == y], judge.held_out.features[data.held_out_labels == y]) for y in range(10)]
    return right, statistics.mean(distances)


def seconds(draw: Draw, data: ImageDataset, repeats: int = 3) -> float:
    """The least time for SPEED_IMAGES images."""
    x_T, labels = torch.randn(SPEED_IMAGES, *data.shape, generator=torch.Generator().manual_seed(2)), torch.full((SPEED_IMAGES,), 7)
    found = []
    for _ in range(repeats):
        began = perf_counter()
        draw(x_T, labels)
        found.append(perf_counter() - began)
    return min(found)


def main() -> None:
    """Draw, read and time everything, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500, help="images for each row (default 500)")
    parser.add_argument("--model", default="mnist_classes_unet", help="a class-conditional model of MNIST")
    args = parser.parse_args()
    data, loaded = make_images("mnist"), checkpoints.load(args.model)
    judge, rows = Judge(data), []
    order = torch.randperm(len(data.held_out), generator=torch.Generator().manual_seed(0))[: args.n]
    assert data.held_out_labels is not None
    half = order.sort().values
    right, distance = quality(judge, data, data.held_out[half], data.held_out_labels[half])
    rows.append([f"{args.n:,} held-out digits", "", f"{100 * right:.1f} %", "", f"{distance:.2f}", "", ""])
    runs: list[tuple[str, str, Draw]] = [("unguided", "0", unguided(loaded))]
    runs += [("classifier-free", f"{strength:g}", free(loaded, strength)) for strength in STRENGTHS]
    runs += [("classifier as r(x)", f"{strength:g}", classifier(loaded, strength)) for strength in STRENGTHS]
    for name, strength, draw in runs:
        right, distance = quality(judge, data, *samples(draw, data, args.n))
        time = seconds(draw, data)
        wanted = (name, strength) == ("classifier-free", f"{OURS:g}")
        accuracy, speed = (verdict(100 * right, 100 * ACCURACY, 0, at_most=False), verdict(time, SECONDS, 0)) if wanted else ("", "")
        rows.append([name, strength, f"{100 * right:.1f} %", accuracy, f"{distance:.2f}", f"{time:.2f}", speed])
        print("  " + " | ".join(rows[-1]), flush=True)
    print(f"\nThe reading classifier: {100 * judge.accuracy:.1f} % of digits that it has not seen.\n")
    table(["samples", "γ", "read as the class", "target", "Fréchet per class", f"s for {SPEED_IMAGES}", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
