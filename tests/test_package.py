"""The wheel, installed into an empty environment: the library with its checkpoints, and the command that opens the app."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

import dpm_core

ROOT = Path(__file__).resolve().parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
# every file that the app or the library reads and that is no Python module: a copy of each must be in the wheel
DATA = ["*.css", "*.js", "*.md", "*.txt", "*.json", "*.safetensors", "*.toml", "*.html", "*.svg", "*.png"]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_dependencies_are_those_of_requirements_txt():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert sorted(project()["project"]["dependencies"]) == sorted(lines)


def test_build_backend_is_pinned_for_development():
    (backend,) = project()["build-system"]["requires"]
    assert backend in (ROOT / "requirements-dev.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout, built without network access."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel installed; the dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    subprocess.run([*PIP, "--python", folder / "bin" / "python", "install", "--no-deps", "--no-compile", wheel], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder


def clean(tmp_path: Path) -> dict:
    """Environment variables under which nothing is found but what is installed, and the user's folders are empty."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DPM_", "STREAMLIT_"))}
    return kept | {"HOME": str(tmp_path), "DPM_CHECKPOINTS": str(tmp_path / "own")}


def test_wheel_holds_the_library_and_the_app(wheel):
    """Two top-level packages and the metadata; each file that pages/ and checkpoints/ hold, and no byte code."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"dpm_core", "dpm_explorer", f"dpm_explorer-{dpm_core.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]
    for source, target in (("pages", "dpm_explorer/pages"), ("dpm_core", "dpm_core"), ("checkpoints", "dpm_core/checkpoints/shipped")):
        for pattern in ["*.py", *DATA]:
            for path in (ROOT / source).rglob(pattern):
                assert f"{target}/{path.relative_to(ROOT / source).as_posix()}" in names


def test_files_outside_pages_that_the_app_reads_are_in_the_wheel(wheel):
    """A page finds such a file by ``parents[n] / "folder" / "name"`` of its own path, which must lead to a file in the wheel too."""
    names = set(zipfile.ZipFile(wheel).namelist())
    found = []
    for path in (ROOT / "pages").rglob("*.py"):
        for n, rest in re.findall(r"__file__\)\.resolve\(\)\.parents\[(\d)\]((?: / \"[^\"]+\")+)", path.read_text()):
            target = path.parents[int(n)].joinpath(*re.findall(r'"([^"]+)"', rest)).relative_to(ROOT).as_posix()
            assert f"dpm_explorer/{target}" in names
            found.append(target)
    assert {"app.py", "benchmarks/paper_tables.json"} <= set(found)


def test_library_lists_the_shipped_checkpoints(environment, tmp_path):
    code = "import dpm_core.checkpoints as c; print(*c.list_checkpoints()); print(c.load('swiss_roll_mlp').shape)"
    run = [environment / "bin" / "python", "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=clean(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed, shape = done.stdout.splitlines()
    assert set(listed.split()) == {path.stem for path in (ROOT / "checkpoints").glob("*.safetensors")}
    assert shape == "(2,)"


def test_installed_app_runs(environment, tmp_path):
    """The first page runs without an exception from the installed files, and the measured tables of the paper are found."""
    code = """
import sys
from pathlib import Path
import dpm_explorer.__main__ as command
from streamlit.testing.v1 import AppTest
app = command.app_path()
sys.path.insert(0, str(app.parent))  # as streamlit run does
test = AppTest.from_file(str(app), default_timeout=60).run()
assert not test.exception and test.title[0].value, test.exception
from pages.ui.components import paper_tables
assert Path(paper_tables.__file__).is_relative_to(app.parent)
assert paper_tables.measured()["tables"]
print(app)
"""
    run = [environment / "bin" / "python", "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=clean(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(environment)


def test_command_opens_the_app_from_another_directory(environment, tmp_path):
    """It passes its arguments on to Streamlit, answers at a deep link, and reads the configuration that belongs to the app."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [environment / "bin" / "dpm-explorer", "--server.headless", "true", "--server.port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=clean(tmp_path), stdout=log, stderr=subprocess.STDOUT)
        try:
            assert _fetch(f"http://localhost:{port}/_stcore/health", process) == b"ok"
            assert b"<title>Streamlit</title>" in _fetch(f"http://localhost:{port}/reverse?seed=3", process)
        finally:
            process.terminate()
            process.wait(10)
    # without .streamlit/config.toml Streamlit announces that it collects statistics
    assert "usage statistics" not in (tmp_path / "log").read_text()


def _fetch(address: str, process: subprocess.Popen, seconds: float = 30) -> bytes:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{address} did not answer; exit status {process.poll()}.")
