"""What models of diffusers cost here: ``python -m benchmarks.imported``, random weights in the shapes of published models.

For each shape a process of its own saves the model, imports it, and makes the first and four more sampling steps of one image. The table
has the seconds of the import with the first step (diffusers itself is imported before: its seconds stand beside), the seconds per step, and
the largest memory of the process. Two to four minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from time import perf_counter

from benchmarks._report import footer, table, verdict

DOWN, ATTENTION = "DownBlock2D", "AttnDownBlock2D"
SHAPES = {  # of the models that the authors of DDPM published, as diffusers keeps them
    "ddpm-cifar10-32": (32, (128, 256, 256, 256), (DOWN, ATTENTION, DOWN, DOWN)),
    "ddpm-celebahq-256, -bedroom-256, -church-256": (256, (128, 128, 256, 256, 512, 512), (DOWN, DOWN, DOWN, DOWN, ATTENTION, DOWN)),
}
STEPS = 4  # after the first
TARGET = 5.0  # seconds of import and first step of a model with 35 million parameters


def measure(name: str) -> dict[str, float]:
    """The numbers of one shape, in this process."""
    side, channels, down = SHAPES[name]
    began = perf_counter()
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    loading = perf_counter() - began
    from dpm_core.exchange import import_diffusers
    from dpm_core.samplers import ancestral

    up = tuple(block.replace("Down", "Up") for block in reversed(down))
    with tempfile.TemporaryDirectory() as folder:
        unet = UNet2DModel(sample_size=side, block_out_channels=channels, down_block_types=down, up_block_types=up, layers_per_block=2)
        DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder, safe_serialization=True)
        del unet
        began = perf_counter()
        loaded = import_diffusers(Path(folder), "measured")
        imported = perf_counter() - began
        run = ancestral(loaded.model, loaded.diffusion, (1, *loaded.shape), generator=torch.Generator().manual_seed(0))
        list(islice(run, 2))  # the noise, and the first step
        first = perf_counter() - began
        began = perf_counter()
        list(islice(run, STEPS))
        step = (perf_counter() - began) / STEPS
    parameters = sum(p.numel() for p in loaded.model.parameters())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # in kB on Linux
    return {"parameters": parameters, "loading": loading, "import": imported, "first": first, "step": step, "memory": memory}


def main() -> None:
    """Measure every shape and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(SHAPES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only)))
        return
    rows = []
    for name in SHAPES:
        command = [sys.executable, "-m", "benchmarks.imported", "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        target = verdict(found["first"], TARGET, 0) if found["parameters"] < 50e6 else ""
        rows.append(
            [
                *(name, f"{found['parameters'] / 1e6:.1f}", f"{found['loading']:.1f}", f"{found['import']:.1f}", f"{found['first']:.1f}"),
                *(target, f"{found['step']:.2f}", f"{found['memory']:.1f}"),
            ]
        )
    head = [
        "model",
        "million parameters",
        "loading diffusers, s",
        "import, s",
        "import and first step, s",
        "target",
        "per step, s",
        "memory, GB",
    ]
    table(head, rows)
    footer()


if __name__ == "__main__":
    main()
