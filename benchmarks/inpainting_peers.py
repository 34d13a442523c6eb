"""Filling square holes in photographs and textures, beside other programs: ``python -m benchmarks.inpainting_peers``.

The pictures of DPM_DATA's "photos" and "bark", 256 × 256 from their middle, each with one square hole of 32, 64 and 100 pixels at a place
drawn by the seed. Methods: the picture's own patches (one draw, and the mean of ``--draws`` draws), OpenCV's Telea and Navier-Stokes,
scikit-image's biharmonic, and PatchMatch where its package is installed. Measures in the hole: PSNR; SSIM of the hole with a margin of 5
pixels; the distance of edges of benchmarks.inpainting; the mean gradient, as a share of the original's; and the power in the upper half
of the spatial frequencies, as a share of that in the ring around the hole. Every fill is added to artefacts/inpainting_peers.jsonl, so that
the run may be divided (``--picture``, ``--hole``) and repeated: what is there already is not computed again. Hours with 8 draws.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

from benchmarks._image_run import use_threads
from benchmarks._report import footer, table
from benchmarks.inpainting import ARTEFACTS, SIDE, biharmonic, edge_distance, middle, pictures
from dpm_core.inpainting.patch_filling import fill_by_patches

HOLES, MARGIN, RADIUS = (32, 64, 100), 16, 5  # pixels: between the hole and the border; how far OpenCV looks
FOUND = ARTEFACTS / "inpainting_peers.jsonl"
MEASURES = ("psnr", "ssim", "edges", "gradient", "upper_band")
TITLES = {
    "psnr": "PSNR, dB (more)", "ssim": "SSIM (more)", "edges": "edges (less)", "gradient": "gradient ÷ original's (1)",
    "upper_band": "upper band ÷ surroundings' (1)",
}  # fmt: skip

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


def hole(name: str, size: int, seed: int) -> np.ndarray:
    """A square hole, bool ``[SIDE, SIDE]``, whose place follows from the picture's name and the seed."""
    rng = np.random.default_rng([seed, size, *name.encode()])
    top, left = rng.integers(MARGIN, SIDE - MARGIN - size, 2)
    missing = np.zeros((SIDE, SIDE), bool)
    missing[top : top + size, left : left + size] = True
    return missing


def patches(picture: np.ndarray, missing: np.ndarray, draws: int = 1) -> np.ndarray:
    """One draw, or the mean of several."""
    every = [deque(fill_by_patches(picture, missing, 1, seed), maxlen=1).pop().guess[0].astype(float) for seed in range(draws)]
    return np.round(np.mean(every, 0)).astype(np.uint8)


def methods(draws: int) -> dict[str, Fill]:
    """The methods by name; those whose packages are missing are left out."""
    found: dict[str, Fill] = {"patches, one draw": patches}
    if draws > 1:
        found[f"patches, mean of {draws}"] = lambda picture, missing: patches(picture, missing, draws)
    found["biharmonic"] = biharmonic
    try:
        cv2 = import_module("cv2")
    except ImportError:
        print("OpenCV is not installed")
    else:
        for name, flag in (("OpenCV Telea", cv2.INPAINT_TELEA), ("OpenCV Navier-Stokes", cv2.INPAINT_NS)):
            found[name] = lambda picture, missing, flag=flag: cv2.inpaint(picture, missing.astype(np.uint8), RADIUS, flag)
    try:
        patchmatch = import_module("patchmatch_cython")
    except ImportError:
        print("patchmatch-cython is not installed")
    else:
        found["PatchMatch"] = lambda picture, missing: _patchmatch(patchmatch, picture, missing)
    return found


def _patchmatch(package: Any, picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """patchmatch-cython's pyramid, which wants three channels."""
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
    filled = np.where(missing[..., None], package.inpaint_pyramid(colour, missing.astype(np.uint8), seed=0), colour)
    return filled.astype(np.uint8) if picture.ndim == 3 else np.round(filled.mean(2)).astype(np.uint8)


def measure(truth: np.ndarray, filled: np.ndarray, missing: np.ndarray) -> dict[str, float]:
    """All measures of one completion."""
    rows, columns = missing.any(1).nonzero()[0], missing.any(0).nonzero()[0]
    around = slice(rows[0] - RADIUS, rows[-1] + 1 + RADIUS), slice(columns[0] - RADIUS, columns[-1] + 1 + RADIUS)
    error = np.square(filled[missing].astype(float) - truth[missing]).mean()
    colour = {"channel_axis": 2} if truth.ndim == 3 else {}
    return {
        "psnr": float(10 * np.log10(255**2 / error)),
        "ssim": float(structural_similarity(truth[around], filled[around], data_range=255, **colour)),
        "edges": edge_distance(truth, filled, missing),
        "gradient": gradient(filled, missing) / gradient(truth, missing),
        "upper_band": upper_band(filled, rows, columns) / _surroundings(truth, rows, columns),
    }


def gradient(picture: np.ndarray, missing: np.ndarray) -> float:
    """The mean length of the gradient of grey in the hole."""
    grey = picture.mean(2) if picture.ndim == 3 else picture.astype(float)
    return float(np.hypot(*np.gradient(grey))[missing].mean())


def upper_band(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean power of grey at spatial frequencies above a quarter of the sampling rate, in a rectangle with a smooth window."""
    grey = (picture.mean(2) if picture.ndim == 3 else picture.astype(float))[np.ix_(rows, columns)]
    window = np.outer(np.hanning(len(rows)), np.hanning(len(columns)))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(len(columns)), np.fft.fftfreq(len(rows))))
    return float(power[(radius > 0.25) & (radius <= 0.5)].mean())


def _surroundings(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """The same in rectangles of the same size beside the hole, those that fit, on average."""
    found = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down * len(rows), columns + across * len(columns)
        shift_r, shift_c = max(0, -r[0]) - max(0, r[-1] - SIDE + 1), max(0, -c[0]) - max(0, c[-1] - SIDE + 1)
        found.append(upper_band(picture, r + shift_r, c + shift_c))
    return float(np.mean(found))


def work(names: set[str], holes: list[int], draws: int, seed: int) -> Iterator[dict[str, object]]:
    """Every completion that is not in FOUND yet, with its measures."""
    known = {_key(row) for row in rows_found()}
    for path in [path for paths in pictures() for path in paths if not names or path.stem in names]:
        truth = middle(path, SIDE)
        for size in holes:
            missing = hole(path.stem, size, seed)
            spoiled = truth.copy()
            spoiled[missing] = 128
            for method, fill in methods(draws).items():
                row: dict[str, object] = {"picture": path.stem, "hole": size, "method": method, "seed": seed}
                if _key(row) not in known:
                    yield row | measure(truth, fill(spoiled, missing), missing)


def rows_found() -> list[dict[str, object]]:
    """What earlier runs have added."""
    return [json.loads(line) for line in FOUND.read_text().splitlines()] if FOUND.exists() else []


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("picture", "hole", "method", "seed"))


def main() -> None:
    """Fill what is missing, and print the means over pictures of everything found so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="append", default=[], help="only this picture (name without its ending)")
    parser.add_argument("--hole", type=int, action="append", choices=HOLES, help="only this size")
    parser.add_argument("--draws", type=int, default=8, help="draws whose mean is measured too (default 8; 1: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the places of the holes")
    args = parser.parse_args()
    use_threads()
    ARTEFACTS.mkdir(exist_ok=True)
    for row in work(set(args.picture), args.hole or list(HOLES), args.draws, args.seed):
        with FOUND.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"  {row['picture']} {row['hole']} {row['method']}: " + ", ".join(f"{name} {row[name]:.2f}" for name in MEASURES), flush=True)
    every = rows_found()
    lines = []
    for size in HOLES:
        for method in dict.fromkeys(str(row["method"]) for row in every):
            some = [row for row in every if row["hole"] == size and row["method"] == method]
            if some:
                means = [f"{np.mean([float(str(row[name])) for row in some]):.2f}" for name in MEASURES]
                lines.append([f"{size} px, {method}", str(len(some)), *means])
    table(["hole, method", "pictures", *TITLES.values()], lines)
    footer()


if __name__ == "__main__":
    main()
