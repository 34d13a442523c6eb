"""The scripts of the components: complete, valid as one module each, and short."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pages.ui.components.common import COMPONENTS, read_scripts

NAMES = sorted(path.parent.name for path in COMPONENTS.glob("*/component.js"))
FILES = sorted(COMPONENTS.rglob("*.js"))


def scripts_of(name: str) -> tuple[str, ...]:
    return importlib.import_module(f"pages.ui.components.{name}").SCRIPTS


def test_every_component_is_found():
    assert NAMES == ["bit_pad", "curve_editor", "lecture_bar", "painter", "player", "private_cookie", "sketch_pad", "step_bars"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_script_has_at_most_350_lines(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("name", NAMES)
def test_every_script_of_the_folder_is_part_of_the_module(name: str):
    own = {script for script in scripts_of(name) if not script.startswith("common/")}
    assert own == {path.name for path in (COMPONENTS / name).glob("*.js")}
    assert len(set(scripts_of(name))) == len(scripts_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_defined_twice_in_a_module(name: str):
    """Scripts share one scope: a second function of the same name would silently replace the first."""
    names = re.findall(r"^(?:const|let|class|function|async function) (\w+)", read_scripts(name, scripts_of(name)), re.M)
    assert (len(names) > 5 or len(scripts_of(name)) == 1) and sorted(set(names)) == sorted(names)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_the_module_is_valid(name: str, tmp_path: Path):
    module = tmp_path / "module.mjs"
    module.write_text(read_scripts(name, scripts_of(name)), encoding="utf-8")
    done = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
