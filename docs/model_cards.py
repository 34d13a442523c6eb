"""Writes a page for each shipped model to docs/models: ``python -m docs.model_cards``; with ``--pictures`` also their samples.

The numbers come from the JSON files of the checkpoints, purpose and known faults from docs/model_cards.toml. A test compares the pages.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import tomllib
from pathlib import Path

from PIL import Image

from docs.checkpoint_tables import ROOT, headers, number, runs
from docs.checkpoint_tables import steps as all_steps

FOLDER = ROOT / "docs" / "models"
PICTURES = ROOT / "docs" / "images" / "models"
COUNT, IMAGES, STEPS, SEED = 2000, 16, 200, 0  # points; images or sequences; at most so many steps of the ancestral sampler
VARIANCES = {
    "free": "any positive number",
    "capped": "below 1 − ᾱ_t, the older form",
}


def shape_of(header: dict) -> tuple[int, ...]:
    """Shape of one datum; the checkpoints of points do not record it."""
    return tuple(header["data"].get("shape", (2,)))


def is_plane(header: dict) -> bool:
    """Whether the data are points in the plane."""
    return "shape" not in header["data"]


def steps_of(header: dict) -> int:
    """Sampling steps of the picture."""
    return min(STEPS, header["config"]["schedule"]["T"])


def data_line(header: dict) -> str:
    """The data, what was held out, and how they were scaled."""
    data, shape = header["data"], shape_of(header)
    if is_plane(header):
        return f"{data['title']}: points of a known distribution, with variance 1 in each coordinate. K is measured on new draws."
    size = " × ".join(map(str, shape))
    if "scale" not in data:
        return f"{data['title']}: {size} bits; K is measured on data that were not trained on."
    scaled = f"(grey level + uniform noise − {number(data['mean'])}) / {number(data['scale'])}, with {data['levels']} grey levels"
    return f"{data['title']}: {size} (channels × height × width). Values are {scaled}. K is measured on held-out images."


def measured_lines(header: dict) -> list[str]:
    """K and what belongs to it."""
    shape, K, error, null = shape_of(header), *(header[key] for key in ("bound_bits", "bound_standard_error_bits", "null_bits"))
    unit, divisor = ("bits per pixel", shape[1] * shape[2]) if len(shape) == 3 else ("bits per datum", 1)
    lines = [
        f"K = {number(K / divisor, 3)} ± {error / divisor:.2g} {unit}",
        f"K − L_null = {number((K - null) / divisor, 3)} {unit}",
    ]
    if "best_bound_bits" in header:
        lines.append(f"best K of this schedule and T: {number(header['best_bound_bits'], 3)} {unit}")
    if scale := header["data"].get("scale") if len(shape) == 3 else None:
        dims = math.prod(shape)
        lines.append(f"{number(math.log2(scale) - K / dims, 3)} ± {error / dims:.2g} bits per dimension")
    return lines


def time_line(header: dict) -> str:
    """How much was trained, where and how long, as far as it was recorded."""
    training, steps = header["config"]["training"], all_steps(header)
    line = f"{steps:,} steps of {training['batch']} data, seed {header['seed']}"
    if rate := header.get("images_per_second"):
        seconds = header["steps"] * training["batch"] / rate  # of the last run
        time = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
        last = f"the last {header['steps']:,} in " if header["steps"] < steps else ""
        line += f", {last}{time} on {header['trained_on']}"
    return f"{line}; {header['saved'][:10]}, PyTorch {header['versions']['torch']}."


def card(name: str, header: dict, notes: dict) -> str:
    """Return the page of one model as Markdown."""
    config, count = header["config"], COUNT if is_plane(header) else IMAGES
    network, schedule = config["network"], config["schedule"]
    given = "".join(f", {key} = {value:g}" for key, value in network["params"].items())
    if classes := network.get("classes"):
        given += f", also given one of {classes} labels or none"
    ends = "".join(f", {key} = {value:g}" for key, value in schedule["params"].items())
    note = notes.get(name) or notes["plane"]
    losses = {"bound": "−K", "simple": "the ε-loss (for bits: the cross entropy)", "flow": "the flow-matching loss"}
    loss = losses[config["training"]["loss"]]
    variance = f"; Var(x⁽⁰⁾ given x⁽ᵗ⁾) / (1 − ᾱ_t): {VARIANCES[network.get('variance', 'capped')]}" if "rate" not in header["data"] else ""
    steps = steps_of(header)
    ending = ".csv" if len(shape_of(header)) == 1 else ".png"
    by_class = f"\npython -m dpm_core sample {name} --label 1 --guidance 1 -n 16 --steps {steps} -o class{ending}" if classes else ""
    return f"""# {name}

{note["purpose"]}

![{count:,} samples of {name}](../images/models/{name}.webp)

{count:,} samples in {steps:,} steps of the ancestral sampler, seed {SEED}, unselected.

| | |
|---|---|
| Data | {data_line(header)} |
| Network | {network["name"]}{given}; {header["parameters"]:,} parameters{variance} |
| Schedule | {schedule["name"]}, T = {schedule["T"]:,}{ends} |
| Loss | {loss} |
| Training | {time_line(header)} |
| Measured | {"; ".join(measured_lines(header))} |

Known faults:

{"".join(f"* {fault}{chr(10)}" for fault in note["faults"])}
{"The command that trained it:" if len(runs(header)) == 1 else "The commands that trained it, one after the other:"}

```
{chr(10).join(run["command"] for run in runs(header))}
```

Use it:

```
python -m dpm_core sample {name} -n 16 --steps {steps} -o samples{ending}{by_class}
```

```python
import torch
from dpm_core import checkpoints
from dpm_core.samplers import ancestral

loaded = checkpoints.load("{name}")
x_T = loaded.diffusion.start((4, *loaded.shape), torch.Generator().manual_seed(0))
*_, (t, x) = ancestral(loaded.model, loaded.diffusion, x_T, steps=10, generator=torch.Generator().manual_seed(1))
print(t, x.shape)
```
"""


def pages() -> dict[str, str]:
    """File name in docs/models → text, for every shipped model and the index."""
    notes, found = tomllib.loads((ROOT / "docs" / "model_cards.toml").read_text()), headers()
    made = {f"{name}.md": card(name, header, notes) for name, header in found.items()}
    rows = "".join(f"* [{name}]({name}.md): {measured_lines(header)[0]}\n" for name, header in found.items())
    made["README.md"] = (
        f"# The shipped models\n\nA page for each model; the tables that compare them are in [checkpoints.md](../checkpoints.md).\n\n{rows}"
    )
    return made


def draw(name: str, header: dict) -> None:
    """Sample a model by the command line and keep the picture."""
    from dpm_core.cli.main import main  # loads torch, which the text does not need

    count = COUNT if is_plane(header) else IMAGES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.png"
        words = ["sample", name, "-n", str(count), "--steps", str(steps_of(header)), "--seed", str(SEED), "--threads", "1", "-o", str(path)]
        if main(words):
            raise SystemExit(f"{name} could not be sampled.")
        picture = Image.open(path).convert("RGB")
    small = max(1, round(240 / max(picture.size)))
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture.resize((small * picture.width, small * picture.height), Image.Resampling.NEAREST).save(PICTURES / f"{name}.webp", quality=80)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a page for each shipped model.")
    parser.add_argument("--pictures", nargs="*", metavar="NAME", help="also draw samples, of all models unless some are named")
    names = parser.parse_args().pictures
    if names is not None:
        for name, header in headers().items():
            if not names or name in names:
                draw(name, header)
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
