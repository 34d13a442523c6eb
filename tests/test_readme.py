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


def test_checkpoint_table_is_what_the_files_say():
    rows = dict(re.findall(r"^\| (\w+_(?:mlp|rbf))[^|]*\| (.*) \|$", README, re.M))
    shipped = {path.stem: json.loads(path.read_text()) for path in (ROOT / "checkpoints").glob("*.json")}
    assert rows.keys() == shipped.keys()
    for name, row in rows.items():
        meta = shipped[name]
        numbers = [meta["bound_bits"], meta["best_bound_bits"], meta["bound_bits"] - meta["null_bits"]]
        shown = [float(cell.strip().replace("−", "-")) for cell in row.split("|")]
        assert all(abs(a - b) < 0.0051 for a, b in zip(numbers, shown)), name
        assert f"--name {name}" in meta["command"]
        assert (ROOT / "checkpoints" / f"{name}.safetensors").stat().st_size < 1_000_000
