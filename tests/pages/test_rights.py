"""Who may change what, where several people share a server, and how much each may have."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import jobs
from dpm_core.jobs.storage.run_folder import RunFolder
from pages.ui import rights, session
from pages.ui.session import roles
from tests.pages.test_pages import APP


@pytest.fixture
def person(own_folders, monkeypatch):
    """Makes the session that of a person."""
    monkeypatch.setenv("DPM_ROLE", "shared")
    (own_folders / "models").mkdir()
    (own_folders / "runs").mkdir()

    def be(name):
        monkeypatch.setattr(session, "user", lambda: name)

    be("anna")
    return be


def run(name, size=10):
    folder = jobs.runs_folder() / name
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"x" * size)
    return folder


def model(folder, name):
    path = folder / "models" / f"{name}.safetensors"
    path.write_bytes(b"x" * 10)
    path.with_suffix(".json").write_text("{}")
    return path


def test_everybody_changes_only_their_own(person, own_folders):
    things = [run("roll"), model(own_folders, "net")]
    for thing in things:
        assert not rights.may_change(thing)  # of the server's own user
        rights.claim(thing)
        assert rights.may_change(thing)
    person("bert")
    for thing in things:
        with pytest.raises(rights.NotAllowed, match="somebody else"):
            rights.check_change(thing)
    with pytest.raises(rights.NotAllowed, match="'roll' belongs to somebody else"):
        rights.check_start("roll")
    rights.check_start("another")
    assert rights.used_bytes() == 0


def test_the_mark_follows_a_model(person, own_folders):
    path = model(own_folders, "net")
    rights.claim(path)
    new = model(own_folders, "better")
    rights.move_mark(path, new)
    assert rights.may_change(new) and not rights.may_change(path)
    rights.move_mark(new, None)
    assert not list((own_folders / "models").glob("*.owner"))


def test_space_and_runs_are_limited(person, own_folders, monkeypatch):
    monkeypatch.setattr(rights, "MAX_BYTES", 100)
    folder = run("roll", 120)
    rights.check_space()
    rights.claim(folder)
    with pytest.raises(rights.NotAllowed, match="delete some of them first"):
        rights.check_start()
    person("bert")
    rights.check_space()

    class Running:
        def __init__(self, folder):
            self.folder = folder

    mine = [run("a"), run("b")]
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "jobs", lambda: [Running(folder) for folder in mine])
        rights.claim(mine[0])
        rights.check_start()
        rights.claim(mine[1])
        with pytest.raises(rights.NotAllowed, match="2 runs in progress"):
            rights.check_start()


def test_what_is_old_is_removed(person, own_folders):
    """Marked things only, with everything that belongs to them, and no run that trains."""
    old = [run("old"), model(own_folders, "old"), run("busy")]
    others = [run("unmarked"), model(own_folders, "unmarked")]
    for thing in old:
        rights.claim(thing)
    recent = run("recent")
    rights.claim(recent)
    for file in own_folders.rglob("*"):
        if file.is_file() and recent not in file.parents:
            os.utime(file, (0, time.time() - 31 * 86_400))
    busy = RunFolder(old[2])
    busy.acquire()
    os.utime(old[2] / "lock", (0, 0))
    try:
        assert set(rights.remove_old()) == set(old[:2])
    finally:
        busy.release()
    assert not old[0].exists() and not list((own_folders / "models").glob("old*"))
    assert all(thing.exists() for thing in [*others, recent, old[2]])


def test_in_a_lecture_only_the_lecturer(own_folders, monkeypatch):
    monkeypatch.setenv("DPM_ROLE", "lecture")
    monkeypatch.setattr(session, "is_lecturer", lambda: False)
    for check in (rights.check_start, rights.check_space, lambda: rights.check_change(own_folders)):
        with pytest.raises(rights.NotAllowed, match="Only the lecturer"):
            check()
    monkeypatch.setattr(session, "is_lecturer", lambda: True)
    rights.check_start("any")
    rights.check_change(own_folders)


def test_a_cookie_that_was_not_made_here_is_not_believed(monkeypatch):
    """A browser that sends somebody's number without the signature gets a new one."""

    context, values = SimpleNamespace(cookies={}), {}
    monkeypatch.setattr(roles, "st", SimpleNamespace(context=context, user=None))
    monkeypatch.setattr(roles._browser.__class__, "get", lambda key: values.get(key.name, ""))
    monkeypatch.setattr(roles._browser.__class__, "set", lambda key, value: values.update({key.name: value}))
    first = roles.browser_cookie()
    user = roles.user()
    for sent, same in (
        (first, True),
        (first[:-1] + ("0" if first[-1] != "0" else "1"), False),
        (first.split(".")[0], False),
        ("", False),
        ("é", False),
    ):
        values.clear()
        context.cookies = {session.BROWSER_COOKIE: sent}
        assert (roles.browser_cookie() == first) is same and (roles.user() == user) is same


def test_a_role_that_does_not_exist_is_one_sentence_and_no_page(monkeypatch):
    monkeypatch.setenv("DPM_ROLE", "teacher")
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert [error.value for error in app.error] == [r"DPM\_ROLE is 'teacher'; leave it empty, or set it to 'shared' or 'lecture'."]
    assert not app.exception and not app.title and not app.button
