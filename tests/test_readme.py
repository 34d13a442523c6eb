"""What README and docs show runs, exists and agrees with the files."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from docs import checkpoint_tables

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_library_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(code.splitlines()) == 10
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    learned, exact = (float(line.split()[1]) for line in done.stdout.splitlines())
    assert abs(learned - exact) < 0.5


def test_command_lines_are_accepted():
    """Every ``python -m dpm_core`` line in the documentation is parsed by the command line's own parser."""
    from dpm_core.cli.main import make_parser

    lines = [line for page in PAGES for line in re.findall(r"^(?:python|torchrun \S+) -m dpm_core (.+)$", page.read_text(), re.M)]
    assert len(lines) >= 4
    for line in lines:
        make_parser().parse_args(shlex.split(line, comments=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    """Relative links exist, and a link to a heading names one."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if heading and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
            assert heading in anchors | set(re.findall(r'<a id="([^"]+)"', found.read_text())), target


def test_every_page_has_a_screenshot():
    """Except the ones that show text; small, and all of one size."""
    pages = {path.stem for path in (ROOT / "pages").glob("*.py")} - {"glossary", "tour"}
    for name in pages:
        path = ROOT / "docs" / "images" / f"{name}.webp"
        assert f"docs/images/{name}.webp" in README and path.stat().st_size <= 40_000
        assert Image.open(path).size == (480, 300)


def test_modules_named_in_the_documentation_exist():
    """``dpm_core.a.b`` in library.md is a module or a name in one."""
    text = (ROOT / "docs" / "library.md").read_text()
    names = set(re.findall(r"`(dpm_core(?:\.\w+)+)", text))
    assert len(names) > 20
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_checkpoint_tables_are_what_the_files_say():
    """Every shipped model has its row, written from its JSON; the command that made it names it; the files are small."""
    text = checkpoint_tables.PAGE.read_text()
    assert checkpoint_tables.render(text) == text
    shipped = {path.stem: json.loads(path.read_text()) for path in (ROOT / "checkpoints").glob("*.json")}
    for name, meta in shipped.items():
        (row,) = re.findall(rf"^\| {name} \| (−?\d.*) \|$", text, re.M)
        gain = meta["bound_bits"] - meta["null_bits"]
        if len(meta["data"].get("shape", ())) == 3:
            pixels = meta["data"]["shape"][1] * meta["data"]["shape"][2]
            numbers, columns = [meta["bound_bits"] / pixels, gain / pixels], (0, 2)
        else:
            numbers, columns = [meta["bound_bits"], meta["best_bound_bits"], gain], (0, 2, 3)
        shown = [float(row.split("|")[i].strip().replace("−", "-")) for i in columns]
        assert all(abs(a - b) < 0.0051 for a, b in zip(numbers, shown)), name
        assert f"--name {name}" in meta["command"]
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints").glob("*.safetensors")]
    assert max(sizes) < 4_200_000 and sum(sizes) < 25_000_000
