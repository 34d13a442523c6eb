"""What ``python -m dpm_core import`` and ``export`` do."""

from __future__ import annotations

import argparse
import sys

from dpm_core import checkpoints
from dpm_core.checkpoints.folders import check_free
from dpm_core.exchange import export_diffusers, export_torch, import_diffusers


def import_(args: argparse.Namespace, argv: list[str]) -> int:
    """Import a model that the library diffusers has saved (UNet2DModel with DDPMScheduler or DDIMScheduler), as a checkpoint."""
    checkpoints.check_name(args.name)
    check_free(args.name, args.out or checkpoints.user_folder())
    made = import_diffusers(args.folder, args.name, args.data, _report)
    path = checkpoints.save(made, args.out, half=args.half)
    size = f"{made.meta['parameters'] / 1e6:.1f} million parameters, {' × '.join(map(str, made.shape))}"
    print(f"{made.config.network.name}, {size}; K is measured on {made.dataset.title}")
    print(path)
    return 0


def export(args: argparse.Namespace, argv: list[str]) -> int:
    """Export a checkpoint: as a folder of the library diffusers, or as one program of torch.export."""
    loaded = checkpoints.load(args.name)
    print({"diffusers": export_diffusers, "torch": export_torch}[args.to](loaded, args.output))
    return 0


def _report(what: str, share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {100 * share:3.0f} %", end="", file=sys.stderr, flush=True)
