"""Writes the tables of docs/checkpoints.md from the JSON files of the shipped checkpoints: ``python -m docs.checkpoint_tables``.

A test compares the tables with the files. Text outside the markers of the tables is left as it is.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "checkpoints.md"

Rows = list[list[str]]

PAPER = {  # K and K − L_null in bits per pixel, Table 1, where it has comparable data
    "dead_leaves_unet": "1.489, 3.536 (dead leaves)",
    "brick_unet": "−0.55, 1.5 (bark)",
    "cifar10_unet": "5.4 ± 0.2, 11.5 ± 0.2 (CIFAR-10)",
}


def headers() -> dict[str, dict]:
    """Name → contents of the JSON file, for all shipped checkpoints, sorted by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "checkpoints").glob("*.json"))}


def runs(header: dict) -> list[dict]:
    """Commands and steps of all runs that trained the weights, one after the other."""
    return [*header.get("earlier_runs", ()), {"command": header["command"], "steps": header["steps"]}]


def steps(header: dict) -> int:
    """Optimiser steps of all runs."""
    return sum(run["steps"] for run in runs(header))


def number(value: float, digits: int = 2) -> str:
    """``value`` with a fixed number of digits and a typographic minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def setting(header: dict) -> list[str]:
    """Network, schedule with T, loss, number of parameters and training steps, as cells."""
    config = header["config"]
    params = "".join(f", {key} = {value}" for key, value in config["schedule"]["params"].items())
    schedule = f"{config['schedule']['name']}, T = {config['schedule']['T']:,}{params}"
    losses = {"bound": "−K", "simple": "ε", "flow": "velocity", "label": "−log p(y)"}
    loss = losses.get(config["training"]["loss"], config["training"]["loss"])
    network = config["network"]["name"] + (", by class" if config["network"].get("classes") else "")
    return [network, schedule, loss, f"{header['parameters']:,}", f"{steps(header):,}"]


def against_best(name: str, header: dict) -> list[str]:
    """K, its standard error, the best K for this T and schedule, and K − L_null, in bits per datum."""
    K = header["bound_bits"]
    error = number(header["bound_standard_error_bits"], 3)
    return [name, number(K), error, number(header["best_bound_bits"]), number(K - header["null_bits"]), *setting(header)]


def per_pixel(name: str, header: dict) -> list[str]:
    """K, its standard error and K − L_null in bits per pixel (channels summed), bits per dimension, and the values in the paper."""
    pixels = header["data"]["shape"][1] * header["data"]["shape"][2]
    K, error = header["bound_bits"] / pixels, number(header["bound_standard_error_bits"] / pixels, 4)
    seen = f"{steps(header) * header['config']['training']['batch']:,}"
    scale = header["data"].get("scale")  # bits have none
    length = number(math.log2(scale) - K / header["data"]["shape"][0]) if scale else ""
    return [name, number(K), error, number(K - header["null_bits"] / pixels), length, *setting(header), seen, PAPER.get(name, "")]


def classifier_headers() -> dict[str, dict]:
    """The same for the shipped classifiers of noisy images."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "checkpoints" / "classifiers").glob("*.json"))}


def reading(name: str, header: dict) -> list[str]:
    """The share of held-out images that a classifier reads correctly at each time, in per cent."""
    shares = [number(100 * share, 1) for share in header["accuracy"].values()]
    return [name, *shares, *setting(header), f"`{header['command']}`"]


def tables() -> dict[str, str]:
    """Name of a table in docs/checkpoints.md → its Markdown text."""
    points, images, sequences, commands = [], [], [], []
    for name, header in headers().items():
        shape = header["data"].get("shape", ())
        if len(shape) == 3:
            images.append(per_pixel(name, header))
        else:
            (sequences if shape else points).append(against_best(name, header))
        commands.append([name, ", then ".join(f"`{run['command']}`" for run in runs(header)), header["saved"][:10]])
    classifiers = [reading(name, header) for name, header in classifier_headers().items()]
    common = ["network", "schedule", "loss", "parameters", "steps"]
    best = ["checkpoint", "K", "standard error", "best K", "K − L_null", *common]
    image = ["checkpoint", "K", "standard error", "K − L_null", "bits per dimension", *common, "images seen", "K, K − L_null in the paper"]
    return {
        "points": _markdown(best, points),
        "images": _markdown(image, images),
        "sequences": _markdown(best, sequences),
        "classifiers": _markdown(["classifier", *(f"t = {t}" for t in ("1", "250", "500", "750")), *common, "command"], classifiers),
        "commands": _markdown(["checkpoint", "command", "date"], commands),
    }


def render(text: str) -> str:
    """``text`` with each table between ``<!-- table NAME -->`` and ``<!-- end -->`` replaced by the present one."""
    made = tables()
    return re.sub(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{made[m[2]]}{m[3]}", text, flags=re.S)


def _markdown(head: list[str], rows: Rows) -> str:
    lines = [head, ["---"] + ["---:" if _numeric(cell) else "---" for cell in rows[0][1:]], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _numeric(cell: str) -> bool:
    return bool(re.fullmatch(r"−?[\d.,]+", cell))


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
