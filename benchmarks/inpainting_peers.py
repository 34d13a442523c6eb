"""Filling holes in photographs and textures, beside other programs: ``python -m benchmarks.inpainting_peers``.

The pictures of DPM_DATA's "photos" and "bark", 256 × 256 from their middle, each with the holes of benchmarks._holes. Methods: the
picture's own patches (one draw, and the mean of ``--draws`` draws), OpenCV's Telea and Navier-Stokes, scikit-image's biharmonic, and
PatchMatch where its package is installed; with ``--network SECONDS`` also a network that is trained on the picture for so long on two
threads, alone and with the patches. Measures in the hole: PSNR; SSIM of the hole with a margin of 5 pixels; the distance of edges of
benchmarks.inpainting; the mean gradient, as a share of the original's; and, for squares, the power in the upper half of the spatial
frequencies, as a share of that in squares beside the hole, for all pictures and for dense textures (without brick). Every fill is added
to artefacts/inpainting_peers.jsonl, so that the run may be divided (``--picture``, ``--hole``, ``--method``) and repeated: what is there
already is not computed again. Half an hour with 8 draws. A second table: an object of 150 pixels removed from pictures of 1,024 pixels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from benchmarks._holes import NAMES, hole
from benchmarks._image_run import use_threads
from benchmarks._report import footer, table, verdict
from benchmarks.inpainting import ARTEFACTS, SIDE, biharmonic, edge_distance, middle, pictures
from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.inpainting.model_filling import fill_by_model
from dpm_core.inpainting.patch_filling import fill_by_patches
from dpm_core.inpainting.picture_network import checkpoint_of_job, crop_run_config, known_crops

RADIUS = 5  # pixels: how far OpenCV looks, and the margin of SSIM
LARGE, OBJECT, SECONDS, MEMORY = 1024, 150, 30.0, 2000.0  # pixels, pixels, and the targets in s and MB
FOUND = ARTEFACTS / "inpainting_peers.jsonl"
MEASURES = ("psnr", "ssim", "edges", "gradient", "upper_band")
REMOVAL = """
import resource, sys
from pathlib import Path
from time import perf_counter
from benchmarks._image_run import use_threads
from benchmarks.inpainting import middle_hole
from benchmarks.inpainting_peers import LARGE, OBJECT, enlarged, patches
use_threads()
picture = enlarged(Path(sys.argv[1]))
start = perf_counter()
patches(picture, middle_hole(LARGE, OBJECT))
print(perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""
TITLES = {
    "psnr": "PSNR, dB (more)", "ssim": "SSIM (more)", "edges": "edges (less)", "gradient": "gradient ÷ original's (1)",
    "upper_band": "upper band ÷ surroundings' (1)",
}  # fmt: skip

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


def patches(picture: np.ndarray, missing: np.ndarray, draws: int = 1) -> np.ndarray:
    """One draw, or the mean of several."""
    every = [deque(fill_by_patches(picture, missing, 1, seed), maxlen=1).pop().guess[0].astype(float) for seed in range(draws)]
    return np.round(np.mean(every, 0)).astype(np.uint8)


class OwnNetwork:
    """A network trained on the known part of a picture, once for each hole; alone, or with the patches."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._made: tuple[bytes, Checkpoint] | None = None

    def alone(self, picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """One completion by the network."""
        return deque(fill_by_model(self._trained(picture, missing), picture, missing, 1, rule="repaint"), maxlen=1).pop().guess[0]

    def with_patches(self, picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """One completion by patches, with the network at the finest level."""
        return deque(fill_by_patches(picture, missing, network=self._trained(picture, missing)), maxlen=1).pop().guess[0]

    def _trained(self, picture: np.ndarray, missing: np.ndarray) -> Checkpoint:
        key = picture.tobytes() + missing.tobytes()
        if self._made is None or self._made[0] != key:
            data = known_crops(picture, missing)
            config = jobs.JobConfig("network", crop_run_config(data, 0), jobs.Stop(seconds=self.seconds))
            with tempfile.TemporaryDirectory() as folder:
                job = jobs.start(config, data, data.sample_held_out(64), Path(folder))
                while job.status in ("queued", "running"):
                    job.keep_alive()
                    sleep(0.2)
                self._made = key, checkpoint_of_job(job, data)
        return self._made[1]


def methods(draws: int, seconds: float) -> dict[str, Fill]:
    """The methods by name; those whose packages are missing are left out."""
    found: dict[str, Fill] = {"patches, one draw": patches}
    if draws > 1:
        found[f"patches, mean of {draws}"] = lambda picture, missing: patches(picture, missing, draws)
    if seconds > 0:
        own = OwnNetwork(seconds)
        found[f"network of the picture, {seconds:g} s"] = own.alone
        found[f"patches and that network, {seconds:g} s"] = own.with_patches
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
    around = slice(max(0, rows[0] - RADIUS), rows[-1] + 1 + RADIUS), slice(max(0, columns[0] - RADIUS), columns[-1] + 1 + RADIUS)
    square = missing[np.ix_(rows, columns)].all() and len(rows) == len(columns)
    error = np.square(filled[missing].astype(float) - truth[missing]).mean()
    colour = {"channel_axis": 2} if truth.ndim == 3 else {}
    return {
        "psnr": float(10 * np.log10(255**2 / error)),
        "ssim": float(structural_similarity(truth[around], filled[around], data_range=255, **colour)),
        "edges": edge_distance(truth, filled, missing),
        "gradient": gradient(filled, missing) / gradient(truth, missing),
        "upper_band": upper_band(filled, rows, columns) / _surroundings(truth, rows, columns) if square else float("nan"),
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


def work(names: set[str], holes: list[str], chosen: list[str], draws: int, seconds: float, seed: int) -> Iterator[dict[str, object]]:
    """Every completion that is not in FOUND yet, with its measures."""
    known, every = {_key(row) for row in rows_found()}, methods(draws, seconds)
    for path in [path for paths in pictures() for path in paths if not names or path.stem in names]:
        truth = middle(path, SIDE)
        for name in holes:
            missing = hole(name, path.stem, SIDE, seed)
            spoiled = truth.copy()
            spoiled[missing] = 128
            for method in [m for m in every if not chosen or any(m.startswith(c) for c in chosen)]:
                row: dict[str, object] = {"picture": path.stem, "hole": name, "method": method, "seed": seed}
                if _key(row) not in known:
                    yield row | measure(truth, every[method](spoiled, missing), missing)


def rows_found() -> list[dict[str, object]]:
    """What earlier runs have added."""
    return [json.loads(line) for line in FOUND.read_text().splitlines()] if FOUND.exists() else []


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("picture", "hole", "method", "seed"))


def enlarged(path: Path) -> np.ndarray:
    """A picture of LARGE × LARGE pixels, with three colours."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((LARGE, LARGE), Image.Resampling.LANCZOS))


def removal() -> Iterator[list[str]]:
    """Rows of the second table, each from a fresh process."""
    for path in [path for paths in pictures() for path in paths if path.stem in ("Grass001_1K_Color", "hubble_deep_field", "astronaut")]:
        done = subprocess.run([sys.executable, "-c", REMOVAL, str(path)], capture_output=True, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        yield [path.stem, f"{seconds:.1f}", verdict(seconds, SECONDS, 0), f"{peak:.0f}", verdict(peak, MEMORY, 0)]


def main() -> None:
    """Fill what is missing, and print the means over pictures of everything found so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="append", default=[], help="only this picture (name without its ending)")
    parser.add_argument("--hole", action="append", choices=NAMES, help="only this hole")
    parser.add_argument("--method", action="append", default=[], help="only methods whose names begin like this")
    parser.add_argument("--draws", type=int, default=8, help="draws whose mean is measured too (default 8; 1: none)")
    parser.add_argument("--network", type=float, default=0.0, help="seconds of training of a network of the picture (0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the places of the squares")
    args = parser.parse_args()
    use_threads()
    ARTEFACTS.mkdir(exist_ok=True)
    for row in work(set(args.picture), args.hole or list(NAMES), args.method, args.draws, args.network, args.seed):
        with FOUND.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"  {row['picture']} {row['hole']} {row['method']}: " + ", ".join(f"{name} {row[name]:.2f}" for name in MEASURES), flush=True)
    every, lines = rows_found(), []
    dense = {path.stem for path in pictures()[0]} - {"skimage_brick", "brick"}
    for name in NAMES:
        for method in dict.fromkeys(str(row["method"]) for row in every):
            some = [row for row in every if row["hole"] == name and row["method"] == method]
            if some:
                of_dense = [float(str(row["upper_band"])) for row in some if row["picture"] in dense]
                means = [np.mean([float(str(row[measure])) for row in some]) for measure in MEASURES]
                shown = ["–" if np.isnan(m) else f"{m:.2f}" for m in (*means, np.mean(of_dense or [np.nan]))]
                lines.append([f"{name}, {method}", str(len(some)), *shown])
    table(["hole, method", "pictures", *TITLES.values(), "the same, dense textures"], lines)
    table([f"object of {OBJECT} px in {LARGE} × {LARGE}", "s", f"≤ {SECONDS:g}", "MB", f"≤ {MEMORY:g}"], list(removal()))
    footer()


if __name__ == "__main__":
    main()
