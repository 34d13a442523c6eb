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

# each module and the modules of this package that it may know; "config, schedules → diffusion → reverse → …"
ALLOWED = {
    "": set(),
    "config": set(),
    "schedules": set(),
    "palette": set(),
    "metrics": set(),
    "terminal": set(),
    "pictures": {"palette"},
    "image_pictures": {"palette", "pictures"},
    "figures": {"palette", "pictures"},
    "bit_figures": {"figures", "palette"},
    "chain": {"schedules"},
    "binomial": {"chain", "schedules"},
    "diffusion": {"binomial", "chain", "config", "schedules"},
    "reverse": {"chain", "diffusion", "schedules"},
    "factors": {"diffusion"},
    "samplers": {"schedules", "diffusion", "reverse", "factors"},
    "posterior": {"diffusion", "factors", "reverse", "samplers"},
    "patches": {"schedules", "diffusion", "reverse"},
    "inpainting": {"checkpoint", "config", "data.bits", "data.images", "data.toy2d", "posterior", "reverse", "samplers", "schedules"},
    "mixing": {"diffusion", "patches", "reverse", "schedules"},
    "own_network": {"checkpoint", "config", "data.images", "data.sources", "inpainting", "jobs", "patches"},
    "patch_inpainting": {
        "checkpoint",
        "data.images",
        "diffusion",
        "inpainting",
        "mixing",
        "patches",
        "posterior",
        "reverse",
        "samplers",
        "schedules",
    },
    "denoising": {"diffusion", "posterior", "reverse", "samplers"},
    "products": {"data.toy2d", "diffusion", "factors", "metrics", "posterior", "reverse", "samplers", "schedules"},
    "bound": {"schedules", "diffusion", "reverse"},
    "budget": {"bound", "diffusion", "reverse"},
    "bit_budget": {"binomial", "budget", "reverse"},
    "estimators": {"bound", "diffusion", "reverse", "samplers"},
    "model_density": {"diffusion", "reverse"},
    "learned_schedule": {"bound", "diffusion", "reverse", "schedules"},
    "trajectory": {"diffusion", "pictures"},
    "networks.bits": {"networks.embedding"},
    "networks": {"networks.bits", "networks.mlp", "networks.rbf", "networks.unet", "networks.multiscale"},
    "networks.embedding": set(),
    "networks.unet": {"networks.embedding"},
    "networks.multiscale": {"networks.temporal"},
    "networks.temporal": set(),
    "networks.mlp": set(),
    "networks.rbf": set(),
    "data": set(),
    "data.toy2d": {"schedules", "diffusion", "reverse"},
    "data.uploads": {"data.toy2d"},
    "losses": {"bound", "diffusion", "reverse"},
    "training": {"losses", "config", "schedules", "diffusion", "reverse", "bound", "networks"},
    "data.idx": {"data.fetch", "data.toy2d"},
    "data.cifar10": {"data.fetch", "data.toy2d"},
    "data.fetch": {"data.toy2d"},
    "data.dead_leaves": {"data.toy2d"},
    "data.textures": {"data.fetch", "data.toy2d", "data.uploads"},
    "data.images": {"data.cifar10", "data.dead_leaves", "data.fetch", "data.idx", "data.textures", "data.toy2d"},
    "data.heartbeat": {"data.toy2d"},
    "data.ising": {"data.toy2d"},
    "data.bits": {"data", "data.fetch", "data.heartbeat", "data.images", "data.ising", "data.toy2d", "diffusion", "reverse", "schedules"},
    "data.sources": {"config", "data.bits", "data.fetch", "data.images", "data.toy2d", "data.uploads", "diffusion", "reverse"},
    "stored_data": {"config", "data", "data.bits", "data.images", "data.ising", "data.toy2d"},
    "cost": {"losses", "config", "schedules", "diffusion", "training"},
    "checkpoint": {"", "config", "diffusion", "reverse", "stored_data", "training"},
    "snapshots": {"bound", "diffusion", "reverse", "samplers", "trajectory"},
    "jobs.config": {"checkpoint", "config"},
    "jobs.line": set(),
    "jobs.threads": {"training"},
    "jobs.disk": {"config", "jobs.config", "snapshots"},
    "jobs.parts": {"data.bits", "data.images", "data.toy2d", "jobs.config", "jobs.disk", "stored_data"}
    | {"checkpoint", "config", "diffusion", "networks", "reverse", "schedules", "snapshots", "training"},
    "jobs.record": {"bound", "jobs.disk", "jobs.parts", "snapshots", "training"},
    "jobs.orders": {"jobs.config", "jobs.line"},
    "jobs.worker": {"", "diffusion", "losses", "jobs.disk", "jobs.line", "jobs.orders", "jobs.parts", "jobs.record"}
    | {"jobs.threads", "training"},
    "jobs.job": {"jobs.config", "jobs.disk", "jobs.line", "jobs.orders", "jobs.parts", "jobs.record", "jobs.worker"}
    | {"checkpoint", "reverse", "snapshots"},
    "jobs": {"checkpoint", "jobs.config", "jobs.disk", "jobs.job", "jobs.orders", "jobs.parts", "jobs.record", "jobs.worker", "snapshots"},
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


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    """Each module knows only those listed; the command line may know all. A new module must be placed in the list."""
    name = module_name(path)
    if name in ("__main__", "commands", "train_command", "inpaint_command"):
        return
    assert name in ALLOWED, f"place {name} in the order"
    assert inside(path) <= ALLOWED[name]


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
    if module_name(path) in ("figures", "pictures", "palette"):
        assert "torch" not in outside


def test_a_running_interpreter_never_loads_streamlit():
    """Charts and pictures bring no torch; all modules together bring torch, and neither streamlit nor the pages."""
    everything = ", ".join(f"dpm_core.{name}".rstrip(".") for name in map(module_name, FILES))
    code = f"""
import sys
import dpm_core.figures, dpm_core.pictures
print(*[m for m in ("altair", "torch", "streamlit") if m in sys.modules])
import {everything}
print(*[m for m in ("torch", "streamlit", "pages") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["altair", "torch"]
