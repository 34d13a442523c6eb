"""Filling holes: how fast, how near to the truth, and whether what is made of a digit is still that digit. Two threads.

First table: local patches on a 256 × 256 colour photograph (DPM_DATA's or scikit-image's), a 64 × 64 hole in the middle:
seconds to the first content and to the whole completion, peak memory of a fresh process, and the time for holes of a
quarter and of more than twice the pixels. Targets: 2 s, 20 s, 2 GB, and no more per pixel in the larger hole.

Second table: the pictures of DPM_DATA's "bark" and "photos" (or scikit-image's), 256 × 256 in the middle, the same hole.
PSNR inside the hole; the distance of edges, a perceptual one that needs no trained network: magnitudes of derivatives of
Gaussians at three widths and four directions, pooled over 4 pixels, compared channel by channel, each divided by its mean
in the truth; the Fréchet distance of the 5 × 5 patches in the hole to those of the truth there, in 16 principal
components of the truth's; and the seam, the mean step across the hole's border in units of the truth's own there. Beside them
scikit-image's biharmonic inpainting, a smooth membrane. Contact sheet in artefacts/.

Third table: MNIST, 16 completions of a left half in 50 steps (target 2 s), and how many completions of held-out digits
of which three quarters are known the classifier of benchmarks._classifier reads as what they were (target nine in ten).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import skimage
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic

from benchmarks._classifier import Judge, frechet
from benchmarks._image_run import use_threads
from benchmarks._report import footer, table, verdict
from dpm_core import checkpoints
from dpm_core.data.fetch import data_folder
from dpm_core.data.images import make_images
from dpm_core.data.uploads import read_image
from dpm_core.inpainting.model_filling import fill_by_model
from dpm_core.inpainting.patch_filling import fill_by_patches

SIDE, HOLE = 256, 64
FIRST, WHOLE, MEMORY, HALF_SECONDS, READ = 2.0, 20.0, 2000.0, 2.0, 90.0  # targets: s, s, MB, s, %
ARTEFACTS = Path(__file__).resolve().parent.parent / "artefacts"
PEAK = """
import sys
from pathlib import Path
import numpy as np
import torch
from benchmarks.inpainting import middle_hole, middle, pictures, SIDE, HOLE
from dpm_core.inpainting.patch_filling import fill_by_patches
torch.set_num_threads(2)
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1000
picture = middle(next(p for p in pictures()[1] if p.stem == "coffee"), SIDE)
for _ in fill_by_patches(picture, middle_hole(SIDE, HOLE)):
    pass
print(peak())
"""


def pictures() -> tuple[list[Path], list[Path]]:
    """Files of textures and of photographs."""
    found = []
    for folder, names in (("bark", ("brick", "grass", "gravel")), ("photos", ("astronaut", "camera", "chelsea", "coffee", "rocket"))):
        there = sorted(p for p in (data_folder() / folder).glob("*") if p.suffix.lower() in (".png", ".jpg"))
        found.append(there or [p for name in names for p in Path(skimage.data_dir).glob(f"{name}.*")])
    return found[0], found[1]


def middle(path: Path, side: int) -> np.ndarray:
    """The middle of a picture, its shorter side first made twice ``side`` where it is longer."""
    image = Image.fromarray(read_image(path.read_bytes()))
    if (shorter := min(image.size)) > 2 * side:
        image = image.resize([round(2 * side * length / shorter) for length in image.size], Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side].copy()


def middle_hole(side: int, hole: int) -> np.ndarray:
    """A square hole in the middle, bool."""
    missing = np.zeros((side, side), bool)
    missing[(side - hole) // 2 : (side + hole) // 2, (side - hole) // 2 : (side + hole) // 2] = True
    return missing


def timed_fill(picture: np.ndarray, missing: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float, float]:
    """The completion, seconds to the first content and to the end."""
    start, steps = perf_counter(), fill_by_patches(picture, missing, 1, seed)
    next(steps)
    first = perf_counter() - start
    return deque(steps, maxlen=1).pop().guess[0], first, perf_counter() - start


def speed(rounds: int) -> Iterator[list[str]]:
    """Rows of the first table."""
    picture = middle(next(p for p in pictures()[1] if p.stem == "coffee"), SIDE)
    timed_fill(picture, middle_hole(SIDE, 16))
    times = {hole: [timed_fill(picture, middle_hole(SIDE, hole))[1:] for _ in range(rounds)] for hole in (HOLE // 2, HOLE, 3 * HOLE // 2)}
    first, whole = (statistics.median(t[i] for t in times[HOLE]) for i in (0, 1))
    yield ["first content, s", f"{first:.2f}", f"{first / FIRST:.2f}", verdict(first, FIRST, 0)]
    yield ["whole completion, s", f"{whole:.1f}", f"{whole / WHOLE:.2f}", verdict(whole, WHOLE, 0)]
    peak = float(subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout)
    yield ["peak memory of the process, MB", f"{peak:.0f}", f"{peak / MEMORY:.2f}", verdict(peak, MEMORY, 0)]
    per_pixel = {hole: 1000 * statistics.median(t[1] for t in found) / hole**2 for hole, found in times.items()}
    for hole, value in per_pixel.items():
        yield [f"hole of {hole} × {hole}: ms per pixel", f"{value:.2f}", f"{value / per_pixel[HOLE]:.2f}", ""]


def biharmonic(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """scikit-image's, as bytes."""
    smooth = inpaint_biharmonic(picture / 255, missing, channel_axis=-1 if picture.ndim == 3 else None)
    return np.round(255 * smooth).clip(0, 255).astype(np.uint8)


def edges(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Channels of edge strength in the hole, pooled over 4 pixels, ``[12, ...]``."""
    grey = picture.mean(2) if picture.ndim == 3 else picture.astype(float)
    out = []
    for width in (1.0, 2.0, 4.0):
        dy, dx = (width * gaussian_filter(grey, width, order=order) for order in ((1, 0), (0, 1)))
        for angle in np.arange(4) * np.pi / 4:
            out.append(gaussian_filter(np.abs(np.cos(angle) * dx + np.sin(angle) * dy), 4)[missing])
    return np.stack(out)


def edge_distance(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> float:
    """Root mean square difference of the channels, each in units of its own mean in the truth."""
    a, b = edges(truth, missing), edges(found, missing)
    return float(np.sqrt(np.square((a - b) / a.mean(1, keepdims=True)).mean()))


def patch_distance(truth: np.ndarray, found: np.ndarray, missing: np.ndarray, side: int = 5, kept: int = 16) -> float:
    """Fréchet distance of the patches in the hole, in units of the variance of the truth's."""

    def patches(picture: np.ndarray) -> torch.Tensor:
        rows, columns = missing.any(1).nonzero()[0], missing.any(0).nonzero()[0]
        part = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(part, (side, side), (0, 1))
        return torch.from_numpy(windows.reshape(windows.shape[0] * windows.shape[1], -1).copy())

    a, b = patches(truth), patches(found)
    centred = a - a.mean(0)
    basis = torch.linalg.eigh(centred.T @ centred)[1][:, -kept:]
    return frechet(a @ basis, b @ basis) / float((centred @ basis).var(0).sum())


def seam(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> float:
    """Mean difference of neighbours of which one is missing, in units of the truth's."""

    def step(picture: np.ndarray) -> float:
        values, total, count = picture.astype(float).reshape(*missing.shape, -1), 0.0, 0
        for axis in (0, 1):
            across = np.diff(missing, axis=axis)
            total, count = total + np.abs(np.diff(values, axis=axis)[across]).sum(), count + int(across.sum())
        return total / count

    return step(found) / step(truth)


def quality(rounds: int) -> tuple[list[list[str]], list[np.ndarray]]:
    """Rows of the second table, and the rows of the contact sheet."""
    rows, sheet, missing = [], [], middle_hole(SIDE, HOLE)
    for kind, paths in zip(("texture", "photo"), pictures()):
        found: dict[str, list[list[float]]] = {"patches": [], "biharmonic": []}
        for path in paths[: 1 if rounds == 1 else None]:
            truth = middle(path, SIDE)
            spoiled = truth.copy()
            spoiled[missing] = 128
            filled = {"patches": timed_fill(spoiled, missing)[0], "biharmonic": biharmonic(spoiled, missing)}
            for name, one in filled.items():
                error = np.square(one[missing].astype(float) - truth[missing]).mean()
                psnr = 10 * np.log10(255**2 / error)
                found[name].append([psnr, edge_distance(truth, one, missing), patch_distance(truth, one, missing)])
                found[name][-1].append(seam(truth, one, missing))
            numbers = [f"{a:.2f} · {b:.2f}" for a, b in zip(found["patches"][-1], found["biharmonic"][-1])]
            rows.append([f"{kind} {path.stem}", *numbers])
            print("  " + " | ".join(rows[-1]), flush=True)
            strip = [spoiled, filled["biharmonic"], filled["patches"], truth]
            sheet.append(np.concatenate([np.broadcast_to(p.reshape(SIDE, SIDE, -1), (SIDE, SIDE, 3)) for p in strip], 1))
        means = {name: np.mean(values, 0) for name, values in found.items()}
        rows.append([f"mean of {len(found['patches'])}, {kind}s", *(f"{a:.2f} · {b:.2f}" for a, b in zip(*means.values()))])
    return rows, sheet


def digits(n: int) -> Iterator[list[str]]:
    """Rows of the third table."""
    dataset, loaded = make_images("mnist"), checkpoints.load("mnist_unet")
    left, quarter = np.zeros((28, 28), bool), np.zeros((28, 28), bool)
    left[:, :14] = True
    quarter[14:, 14:] = True
    times = []
    for seed in range(5):
        start = perf_counter()
        for _ in fill_by_model(loaded, dataset.held_out[0, 0].numpy(), left, 16, seed, steps=50):
            pass
        times.append(perf_counter() - start)
    seconds = statistics.median(times)
    yield [
        "16 completions of a left half, 50 steps, s",
        f"{seconds:.2f}",
        f"{seconds / HALF_SECONDS:.2f}",
        verdict(seconds, HALF_SECONDS, 0),
    ]
    judge, pictures = Judge(dataset), dataset.held_out[:n, 0].numpy()
    before = judge.look(dataset.held_out[:n]).probabilities.argmax(1)
    for rule in ("noised", "clean", "repaint"):
        filled = []
        for picture in pictures:
            *_, end = fill_by_model(loaded, picture, quarter, 4, 1, steps=50, rule=rule)
            filled.append(torch.from_numpy(end.guess[:, None]))
        read = judge.look(torch.cat(filled)).probabilities.argmax(1).view(n, -1)
        share = 100 * float((read == before[:, None]).double().mean())
        name = f"{4 * n} completions of a quarter read as the digit they were, {rule}, %"
        yield [name, f"{share:.1f}", f"{share / READ:.2f}", verdict(share, READ, 0, at_most=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Filling holes with patches and with a trained model.")
    parser.add_argument("--quick", action="store_true", help="only try the script: one round, one picture of each kind, eight digits")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 3
    use_threads()
    head = ["measured", "value", "÷ target or reference", "target"]
    table(head, list(speed(rounds)))
    rows, sheet = quality(rounds)
    ARTEFACTS.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(sheet)).save(ARTEFACTS / "inpainting.png")
    print()
    table(
        ["patches · biharmonic", "PSNR, dB (more is nearer)", "edges (less)", "Fréchet of patches (less)", "seam (1 is the truth's)"], rows
    )
    table(head, list(digits(8 if quick else 100)))
    footer()


if __name__ == "__main__":
    main()
