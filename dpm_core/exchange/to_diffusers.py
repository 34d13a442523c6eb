"""Export a model as a folder that ``diffusers.DDPMPipeline.from_pretrained`` opens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from dpm_core.checkpoints import Checkpoint, CheckpointError
from dpm_core.networks.unet2d import VARIANCES, UNet2D


def export_diffusers(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write a model with the network ``unet2d`` as a pipeline of diffusers into ``folder``, which must not exist; return it.

    The pipeline samples in the units of the model: grey levels from −1 to 1 for an imported one, standardised values for one that was
    trained here (README.md in the folder says how to turn them into grey levels). Raises CheckpointError for any other network or a
    folder that exists, ValueError without diffusers, OSError when nothing can be written; then nothing is left.
    """
    network = checkpoint.model.network
    if not isinstance(network, UNet2D):
        name = checkpoint.config.network.name
        raise CheckpointError(f"The network {name!r} is none of diffusers; train with --network unet2d, or export with --to torch.")
    if folder.exists():
        raise CheckpointError(f"{str(folder)[:200]} exists already; choose a new folder.")
    from diffusers import DDPMPipeline, DDPMScheduler

    variance = next(name for name, v in VARIANCES.items() if v == network.fixed_v)
    scheduler = DDPMScheduler(
        num_train_timesteps=checkpoint.diffusion.T,
        trained_betas=checkpoint.diffusion.schedule.betas.tolist(),
        prediction_type=network.prediction,
        variance_type=variance,
        clip_sample=bool(network.clip),
        clip_sample_range=network.clip or 1.0,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        pipeline: Any = DDPMPipeline(network.unet, scheduler)
        pipeline.save_pretrained(made, safe_serialization=True)
        (made / "README.md").write_text(_readme(checkpoint, folder.name))
        shutil.move(str(made), str(folder))
    return folder


def _readme(checkpoint: Checkpoint, folder: str) -> str:
    spec: Any = checkpoint.dataset
    return f"""# {checkpoint.name}

A diffusion model of {spec.title}, {" × ".join(map(str, spec.shape))} (channels × height × width), exported by DPM Explorer.

```python
from diffusers import DDPMPipeline

pipeline = DDPMPipeline.from_pretrained("{folder}")
```

Values x of the model are (grey level + uniform noise of one level − {spec.mean:.6g}) / {spec.scale:.6g}, with {spec.levels} levels.
The pipeline's own pictures take x from −1 to 1. Unless the model was imported, use its scheduler and its unet, and turn x into levels by
x · {spec.scale:.6g} + {spec.mean:.6g}. Exported with PyTorch {torch.__version__}.
"""
