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
    "files": set(),
    "schedules": set(),
    "networks": {"config"},
    "figures": set(),
    "process": {"config", "schedules"},
    "reverse": {"config", "networks", "process", "schedules"},
    "factors": {"process"},
    "relatives": {"config", "networks", "process"},
    "guidance": {"config", "factors", "networks", "process", "relatives", "reverse", "schedules"},
    "samplers": {"factors", "figures", "process", "reverse"},
    "posterior": {"factors", "process", "reverse", "samplers", "schedules"},
    "measure": {"process", "reverse", "samplers", "schedules"},
    "continuous": {"measure", "process", "reverse", "schedules"},
    "lab": {"continuous", "process", "reverse"},
    "paths": {"config", "process", "reverse", "schedules"},
    "data": {"config", "figures", "guidance", "process", "reverse", "schedules"},
    "training": {"config", "guidance", "lab", "measure", "process", "relatives", "reverse", "samplers", "schedules"},
    "checkpoints": {"", "config", "data", "files", "guidance", "process", "relatives", "reverse"},
    "jobs": {
        "",
        "checkpoints",
        "config",
        "data",
        "files",
        "guidance",
        "measure",
        "networks",
        "process",
        "relatives",
        "reverse",
        "schedules",
        "training",
    },
    "inpainting": {"checkpoints", "config", "data", "factors", "jobs", "posterior", "process", "reverse", "samplers", "schedules"},
    "exchange": {"checkpoints", "config", "data", "files", "guidance", "networks", "process", "reverse", "schedules"},
    "cli": {
        "",
        "checkpoints",
        "config",
        "continuous",
        "data",
        "exchange",
        "figures",
        "files",
        "guidance",
        "inpainting",
        "lab",
        "measure",
        "networks",
        "process",
        "relatives",
        "reverse",
    }
    | {"samplers", "schedules", "training"},
    "__main__": {"cli"},
}
OUTSIDE = {
    "torch",
    "numpy",
    "safetensors",
    "sklearn",
    "skimage",
    "scipy",
    "PIL",
    "altair",
    "pandas",
    "plotly",
    "ray",
    "fsspec",
    "diffusers",
}


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


# ---- the pages ---------------------------------------------------------------------------------------------------------

PAGES = ROOT / "pages"
# the parts of the page layer, lowest first: each imports only parts of lower levels, and its own modules
LEVELS = {
    "session": 0, "rights": 1, "cache": 1,
    "components": 2, "controls": 2, "lecture": 2,
    "kinds": 3,
    "hall": 3, "page": 4, "bound": 4, "checkpoints": 4, "continuous": 4, "guide": 4, "inpainting": 4, "lab": 4, "memory": 4, "paths": 4,
    "posterior": 4, "relatives": 4, "reversibility": 4, "schedule": 4, "start": 4, "training": 4,
    "pages": 5,
}  # fmt: skip
PAGE_FILES = sorted(PAGES.rglob("*.py"))


def page_name(path):
    return path.relative_to(PAGES).as_posix()


def part(path):
    """The part of the page layer to which a file belongs; "pages" for a page itself."""
    pieces = path.relative_to(PAGES).with_suffix("").parts
    return pieces[1] if pieces[0] == "ui" and len(pieces) > 1 and pieces[1] != "__init__" else "pages"


@pytest.mark.parametrize("path", PAGE_FILES, ids=page_name)
def test_imports_of_pages_run_one_way(path):
    """Pages use views, views use kinds, kinds use components and controls, and all use the session: at most five levels."""
    own = part(path)
    assert own in LEVELS, f"place pages/ui/{own} in the levels"
    for name in imported(path):
        pieces = name.split(".")
        if pieces[:2] == ["pages", "ui"] and len(pieces) > 2 and pieces[2] != own:
            assert LEVELS[pieces[2]] < LEVELS[own], f"{own} imports {name}"


def test_only_the_session_package_touches_the_session_state():
    """Every key is listed in pages/ui/session/keys.py."""
    for path in PAGE_FILES:
        if part(path) == "session":
            continue
        touched = [node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        assert not {"session_state", "query_params"} & set(touched), page_name(path)


def test_pages_modules_and_folders_stay_small():
    """A page has fewer than 60 lines, a module at most 250, a script of a component at most 350, a folder at most 12 modules."""
    for path in [*FILES, *PAGE_FILES]:
        lines = len(path.read_text().splitlines())
        assert lines <= (59 if path.parent == PAGES else 250), f"{path.relative_to(ROOT)} has {lines} lines"
    for path in PAGES.rglob("*.js"):
        assert len(path.read_text().splitlines()) <= 350, page_name(path)
    for folder in {path.parent for path in [*FILES, *PAGE_FILES]} - {PAGES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 12, f"{folder.relative_to(ROOT)} has {len(modules)} modules"


def test_the_groups_of_the_sidebar_are_in_app_py_alone_and_name_every_page():
    """Each file directly in pages/ is in the navigation once."""
    named = [
        node.args[0].value
        for node in ast.walk(ast.parse((ROOT / "app.py").read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Page"
    ]
    assert sorted(named) == sorted(f"pages/{path.name}" for path in PAGES.glob("*.py"))


def test_a_page_shows_its_heading_before_it_imports_torch():
    """What a page imports before open_page is quick: the frame of the page, without torch, scikit-image and scikit-learn."""
    code = """
import sys
from pages.ui import page
print(*[m for m in ("torch", "skimage", "sklearn") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
    for path in PAGES.glob("*.py"):
        statements = ast.parse(path.read_text()).body
        opened = next(i for i, node in enumerate(statements) if "open_page" in ast.dump(node) and isinstance(node, ast.Expr))
        before = {alias.name for node in statements[:opened] if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert before <= {"page"}, f"{path.name} imports {before} before its heading"
