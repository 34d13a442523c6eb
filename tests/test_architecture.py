"""What may import what, read from the source itself and from a running interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dpm_core"
FILES = sorted(PACKAGE.rglob("*.py"))

# the packages of dpm_core, each with those that it may import, lowest first; a new package must be placed here
ALLOWED = {
    "": set(),
    "config": set(),
    "schedules": set(),
    "networks": set(),
    "figures": set(),
    "process": {"config", "schedules"},
    "reverse": {"config", "networks", "process", "schedules"},
    "factors": {"process"},
    "samplers": {"factors", "figures", "process", "reverse"},
    "posterior": {"factors", "process", "reverse", "samplers"},
    "measure": {"process", "reverse", "samplers", "schedules"},
    "data": {"config", "process", "reverse", "schedules"},
    "training": {"config", "measure", "process", "reverse", "samplers", "schedules"},
    "checkpoints": {"", "config", "data", "process", "reverse"},
    "jobs": {"", "checkpoints", "config", "data", "measure", "networks", "process", "reverse", "schedules", "training"},
    "inpainting": {"checkpoints", "config", "data", "factors", "jobs", "posterior", "process", "reverse", "samplers", "schedules"},
    "cli": {"", "checkpoints", "config", "data", "figures", "inpainting", "measure", "networks", "process", "reverse"}
    | {"samplers", "schedules", "training"},
    "__main__": {"cli"},
}
OUTSIDE = {"torch", "numpy", "safetensors", "sklearn", "skimage", "scipy", "PIL", "altair", "pandas", "plotly"}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """Every module named by an import statement anywhere in the file, with names taken from a package resolved to modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            for alias in node.names:
                deeper = ROOT.joinpath(*node.module.split("."), alias.name)
                names.add(f"{node.module}.{alias.name}" if deeper.with_suffix(".py").exists() or deeper.is_dir() else node.module)
    return names


def inside(path):
    return {name.removeprefix("dpm_core").removeprefix(".") for name in imported(path) if name.split(".")[0] == "dpm_core"}


def package(module):
    return module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    """Each package imports only those listed; a new package must be placed in the list."""
    own = package(module_name(path))
    assert own in ALLOWED, f"place {own} in the order"
    assert {package(name) for name in inside(path)} - {own} <= ALLOWED[own]


def test_modules_of_a_package_do_not_import_each_other_in_a_circle():
    left = {module_name(path): inside(path) for path in FILES if path.name != "__init__.py"}
    while left:
        free = [name for name, known in left.items() if not known & (left.keys() - {name})]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_the_list_itself_has_no_circle():
    """Repeatedly removing modules that know none of the rest leaves nothing."""
    left = dict(ALLOWED)
    while left:
        free = [name for name, known in left.items() if not known & (left.keys() - {name})]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_stated_libraries_are_used(path):
    """No streamlit, no pages, nothing that requirements.txt does not name; no pickle, eval or exec."""
    outside = {name.split(".")[0] for name in imported(path)} - {"dpm_core"} - set(sys.stdlib_module_names)
    assert outside <= OUTSIDE
    assert not {"pickle", "shelve", "marshal"} & imported(path)
    calls = {n.func.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not {"eval", "exec", "__import__"} & calls
    if package(module_name(path)) == "figures":
        assert "torch" not in outside


def test_a_running_interpreter_never_loads_streamlit():
    """Charts and pictures bring no torch; all modules together bring torch, and neither streamlit nor the pages."""
    everything = ", ".join(f"dpm_core.{name}".rstrip(".") for name in map(module_name, FILES))
    code = f"""
import sys
import dpm_core.figures.charts, dpm_core.figures.rasters
print(*[m for m in ("altair", "torch", "streamlit") if m in sys.modules])
import {everything}
print(*[m for m in ("torch", "streamlit", "pages") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["altair", "torch"]
