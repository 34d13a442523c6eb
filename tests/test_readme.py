"""What the README shows runs, and what it says of the checkpoints is in their files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_library_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    learned, exact = (float(line.split()[1]) for line in done.stdout.splitlines())
    assert abs(learned - exact) < 0.5


def test_checkpoint_tables_are_what_the_files_say():
    """Bits per point beside the best chain in the plane, bits per pixel of images; every shipped model has its row."""
    rows = dict(re.findall(r"^\| (\w+_(?:mlp|rbf|unet|multiscale|sigmoid))[^|]*\| (.*) \|$", README, re.M))
    shipped = {path.stem: json.loads(path.read_text()) for path in (ROOT / "checkpoints").glob("*.json")}
    assert rows.keys() == shipped.keys()
    for name, row in rows.items():
        meta = shipped[name]
        gain = meta["bound_bits"] - meta["null_bits"]
        if len(meta["data"].get("shape", ())) == 3:
            pixels = meta["data"]["shape"][1] * meta["data"]["shape"][2]
            numbers = [meta["bound_bits"] / pixels, gain / pixels]
        else:
            numbers = [meta["bound_bits"], meta["best_bound_bits"], gain]
        shown = [float(cell.strip().replace("−", "-")) for cell in row.split("|")[: len(numbers)]]
        assert all(abs(a - b) < 0.0051 for a, b in zip(numbers, shown)), name
        assert f"--name {name}" in meta["command"]
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints").glob("*.safetensors")]
    assert max(sizes) < 4_200_000 and sum(sizes) < 25_000_000
