"""Every recipe of docs/recipes.md, followed word by word in a copy of the program: its files, then its own test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "recipes.md").read_text()
COPIED = ("dpm_core", "pages", "checkpoints", "benchmarks", "docs", ".streamlit")
# what is said above a block: Append to `FILE`, New file `FILE`, or In `FILE`, after the line with `WORDS`
STEP = re.compile(
    r"^(Append to|New file|In) `([^`]+)`(?:, after the line with `([^`]+)`| \(make the folder first\))?:\n\n```python\n(.*?)^```",
    re.M | re.S,
)


def recipes() -> dict[str, str]:
    """The text of every section "Add …" by its title."""
    titles = re.split(r"^## (Add .*)$", TEXT, flags=re.M)[1:]
    return dict(zip(titles[::2], titles[1::2]))


def follow(folder: Path, how: str, path: str, after: str, code: str) -> None:
    """Do one step of a recipe."""
    target = folder / path
    if how == "New file":
        assert not target.exists(), path
        target.parent.mkdir(exist_ok=True)
        target.write_text(code)
        return
    text = target.read_text()
    if how == "Append to":
        target.write_text(text + code)
        return
    (line,) = [line for line in text.splitlines(keepends=True) if after in line]
    target.write_text(text.replace(line, line + code))


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The program without its tests, with every recipe followed in it, and the results of their tests in report.xml."""
    folder = tmp_path_factory.mktemp("recipes")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", folder)
    (folder / "tests" / "pages").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    for text in recipes().values():
        for step in STEP.findall(text):
            follow(folder, *step)
    env = os.environ | {"PYTHONPATH": str(folder), "DPM_CHECKPOINTS": str(folder / "own"), "DPM_RUNS": str(folder / "runs")}
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--junitxml", "report.xml", "tests"]
    subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True)
    return folder


@pytest.mark.parametrize("title", recipes())
def test_a_recipe(title, copy):
    """After its steps the recipe's own tests have passed, and the style of its files is right."""
    steps = STEP.findall(recipes()[title])
    assert len(steps) == recipes()[title].count("```python"), "a block without a place"
    tests = [path for _, path, _, _ in steps if path.startswith("tests/")]
    assert tests, "a recipe without a test"
    ruff = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", *dict.fromkeys(path for _, path, _, _ in steps)]
    style = subprocess.run(ruff, cwd=copy, capture_output=True, text=True)
    assert style.returncode == 0, style.stdout
    results = ElementTree.parse(copy / "report.xml").getroot().iter("testcase")
    modules = {path.removesuffix(".py").replace("/", ".") for path in tests}
    own = [result for result in results if result.get("classname") in modules]
    assert own, f"the tests {tests} did not run"
    failed = {result.get("name"): "".join(part.text or "" for part in result)[-3000:] for result in own if len(result)}
    assert not any(part.tag in ("failure", "error") for result in own for part in result), failed


def test_files_touched_are_as_few_as_promised():
    """One file for a schedule, a data set, a sampler or a network, two for a page, besides the test of each.

    A kind of data: one file in the core, and on the pages one folder and the registry.
    """
    touched = {
        title: len({path for _, path, _, _ in STEP.findall(text) if not path.startswith("tests/")}) for title, text in recipes().items()
    }
    promised = {name: 1 for name in ("a schedule", "a data set in the plane", "an image set", "a sampler", "a network")}
    assert touched == {f"Add {name}": count for name, count in (promised | {"a page": 2, "a kind of data": 3}).items()}
