"""What ``python -m dpm_core inpaint`` does."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dpm_core import checkpoints
from dpm_core.cli.common import use_threads
from dpm_core.cli.terminal import progress
from dpm_core.data import uploads
from dpm_core.data.uploads import PICTURES
from dpm_core.files import written_whole
from dpm_core.inpainting.model_filling import Progress, fill_by_model
from dpm_core.inpainting.patch_filling import fill_by_patches

PATCHES = "patches"


def inpaint(args: argparse.Namespace, argv: list[str]) -> int:
    """Fill the white area of a mask in a picture; of a folder of pictures, each with the mask of the same name."""
    if args.n < 1:
        raise ValueError(f"-n is {args.n}; at least one completion must be drawn.")
    use_threads(args, images=True)
    loaded = None if args.model == PATCHES else checkpoints.load(args.model)
    for image, mask, output in _tasks(args):
        picture, missing = uploads.read_image(_bytes(image)), _read_mask(mask)
        last = deque(progress(_fill(args, loaded, picture, missing), None, image.name), maxlen=1).pop()
        output.parent.mkdir(parents=True, exist_ok=True)
        for i, one in enumerate(last.guess, 1):
            path = output if args.n == 1 else output.with_stem(f"{output.stem}-{i}")
            with written_whole(path) as whole:
                Image.fromarray(one).save(whole)
            print(path)
    return 0


def _fill(args: argparse.Namespace, loaded: checkpoints.Checkpoint | None, picture: np.ndarray, missing: np.ndarray) -> Iterator[Progress]:
    if loaded is None:
        return fill_by_patches(picture, missing, args.n, args.seed)
    return fill_by_model(loaded, picture, missing, args.n, args.seed, steps=args.steps, rule=args.rule, device=args.device)


def _tasks(args: argparse.Namespace) -> list[tuple[Path, Path, Path]]:
    """(picture, mask, output) for every picture to fill. Raises ValueError when masks or output do not match the pictures."""
    if not args.image.is_dir():
        if args.mask.is_dir():
            raise ValueError(f"{args.mask} is a folder of masks, but {args.image} is one picture; give one mask, or two folders.")
        if args.output.suffix.lower() not in PICTURES:
            raise ValueError(f"The output must end in {', '.join(PICTURES)}, not {args.output.suffix!r}.")
        return [(args.image, args.mask, args.output)]
    pictures = sorted(p for p in args.image.iterdir() if p.suffix.lower() in PICTURES)
    if not pictures:
        raise ValueError(f"There are no pictures in {args.image}; it needs files that end in {', '.join(PICTURES)}.")
    if not args.mask.is_dir():
        return [(p, args.mask, args.output / f"{p.stem}.png") for p in pictures]
    masks = {p.stem: p for p in args.mask.iterdir() if p.suffix.lower() in PICTURES}
    if missing := [p.name for p in pictures if p.stem not in masks]:
        raise ValueError(f"There is no mask for {missing[0]} in {args.mask}; add a file named {Path(missing[0]).stem}.png.")
    return [(p, masks[p.stem], args.output / f"{p.stem}.png") for p in pictures]


def _read_mask(path: Path) -> np.ndarray:
    """Whether each pixel of the mask is white, bool ``[H, W]``."""
    grey = uploads.read_image(_bytes(path)).astype(np.float32)
    return (grey.mean(2) if grey.ndim == 3 else grey) > 127


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    return path.read_bytes()
