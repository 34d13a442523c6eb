"""Downloads against a server of our own: whole, resumed, refused; and where files are looked for."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dpm_core.data import fetch
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import data_folder, download, find

BODY = np.random.default_rng(0).bytes(300_000)
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``body``; each number in ``breaks`` is after how many bytes one answer breaks off; notes the ranges asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.breaks, self.ranges_honoured, self.announce, self.status = BODY, [], True, True, None
        self.asked: list[str | None] = []

    def handle_error(self, request, client_address):
        """A client that hangs up early, as one does on a file too large, is no news."""

    def url(self, name="file.gz"):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers["Range"]
        server.asked.append(wanted)
        if server.status:
            return self.send_error(server.status)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges_honoured else 0
        if start and start >= len(server.body):
            return self.send_error(416)
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.announce:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.breaks.pop(0)] if server.breaks else rest)


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "set" / "file.gz"


def refused(*args, **more):
    """The one sentence with which a download fails."""
    with pytest.raises(DataError) as caught:
        download(*args, **more)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("checksum", [MD5, SHA256])
@pytest.mark.parametrize("announce", [True, False])
def test_a_whole_download(server, target, checksum, announce):
    """The very bytes arrive, progress climbs from 0 to all of them, nothing else stays; a second call asks nobody."""
    server.announce = announce
    seen = []
    assert download([server.url()], target, checksum, len(BODY), lambda *step: seen.append(step)) == target
    assert target.read_bytes() == BODY and list(target.parent.iterdir()) == [target]
    names, done, totals = zip(*seen)
    assert set(names) == {"file.gz"} and set(totals) == {len(BODY) if announce else None}
    assert done[0] == 0 and done[-1] == len(BODY) and list(done) == sorted(done)
    download([server.url()], target, checksum, len(BODY))
    assert server.asked == [None]


def test_a_broken_line_is_taken_up_again(server, target):
    """Two breaks in one call: the second and third requests ask for the rest only, and the whole is right."""
    server.breaks = [100_000, 50_000]
    download([server.url()], target, MD5, len(BODY))
    assert target.read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_run_goes_on_where_the_last_one_stopped(server, target):
    """Three breaks exhaust the attempts; what came stays in .part, and another address continues it."""
    server.breaks = [70_000, 70_000, 70_000]
    assert "connection broke after 210,000 of 300,000 bytes" in refused([server.url()], target, MD5, len(BODY))
    part = target.with_name("file.gz.part")
    assert not target.exists() and part.read_bytes() == BODY[:210_000]
    server.asked.clear()
    download([server.url("mirror/file.gz")], target, MD5, len(BODY))
    assert server.asked == ["bytes=210000-"] and target.read_bytes() == BODY and not part.exists()


def test_a_server_without_ranges_begins_anew(server, target):
    server.ranges_honoured = False
    server.breaks = [100_000]
    download([server.url()], target, MD5, len(BODY))
    assert target.read_bytes() == BODY and server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("left", [BODY, b"x" * 1000, BODY + b"more", b""])
def test_any_partial_file_left_behind_ends_well(server, target, left):
    """Complete (416, yet right), of other content, too long, empty."""
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(left)
    download([server.url()], target, MD5, len(BODY))
    assert target.read_bytes() == BODY


def test_a_wrong_checksum_never_gets_the_name(server, target):
    server.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    assert "published checksum" in refused([server.url()], target, MD5, len(BODY))
    assert not target.exists() and not target.parent.exists() and len(server.asked) == 1


def test_the_next_address_is_tried(server, target):
    """After a plain no, or an address where nobody listens; the sentence of a failure names the hosts and the folder."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/file.gz"
        message = refused([nobody], target, MD5, len(BODY))
        assert nobody.split("/")[2] in message and str(target.parent) in message and "file.gz" in message
        download([nobody, server.url()], target, MD5, len(BODY))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_no_is_not_asked_twice(server, target, status):
    server.status = status
    assert f"says {status}" in refused([server.url()], target, MD5, len(BODY))
    assert len(server.asked) == 1 and not target.parent.exists()


@pytest.mark.parametrize("announce", [True, False])
def test_more_than_expected_is_not_taken(server, target, announce):
    """One byte over the limit, announced or not; no more than the limit and one block is ever written."""
    server.announce = announce
    written = []
    message = refused([server.url()] * 2, target, MD5, len(BODY) - 1, lambda name, done, total: written.append(done))
    assert f"larger than the {len(BODY) - 1:,} bytes" in message and not target.parent.exists()
    assert not announce or not any(written)
    server.body = BODY * 20
    written.clear()
    refused([server.url()], target, MD5, len(BODY), lambda name, done, total: written.append(done))
    assert max(written, default=0) <= len(BODY) + fetch.BLOCK


def test_a_silent_server_is_given_up(target, monkeypatch):
    """A line that is taken and then says nothing: one timeout, then the sentence."""
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "timed out" in refused([f"http://127.0.0.1:{silent.getsockname()[1]}/file.gz"], target, MD5, 10)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "DPM_DATA" in refused([server.url()], tmp_path / "file" / "set" / "file.gz", MD5, len(BODY))
    assert server.asked == []


def test_two_processes_at_once_ask_once(server, target):
    """Several processes that need the same file: one brings it, all have it; the server is asked a single time."""
    code = (
        "import sys; from pathlib import Path; from dpm_core.data.fetch import download;"
        "download([sys.argv[1]], Path(sys.argv[2]), sys.argv[3], 10**6)"
    )
    command = [sys.executable, "-c", code, server.url(), str(target), MD5]
    running = [subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert target.read_bytes() == BODY and len(server.asked) == 1


def test_two_at_once_do_not_mix(server, target):
    """Eight threads want the same file: it comes once, whole."""
    threads = [threading.Thread(target=download, args=([server.url()], target, MD5, len(BODY))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BODY and server.asked == [None]


@pytest.mark.parametrize(
    "platform, variables, wanted",
    [
        ("linux", {}, "home/.cache/dpm-explorer/data"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/dpm-explorer/data"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "home/Library/Caches/dpm-explorer/data"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/dpm-explorer/data"),
        ("win32", {}, "home/AppData/Local/dpm-explorer/data"),
        ("linux", {"DPM_DATA": "/mine", "XDG_CACHE_HOME": "/x"}, "/mine"),
        ("linux", {"DPM_DATA": "~/mine"}, "home/mine"),
        ("linux", {"DPM_DATA": ""}, "home/.cache/dpm-explorer/data"),
    ],
)
def test_the_data_folder(monkeypatch, tmp_path, platform, variables, wanted):
    for name in ("DPM_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fetch.sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert data_folder() == tmp_path / wanted


def test_folders_go_before_names(monkeypatch, tmp_path):
    """The first folder that has any of the names, and in it the first name; folders do not count as files."""
    monkeypatch.setenv("DPM_DATA", str(tmp_path))
    for path in ("a/two", "b/one", "b/two", "one"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "a" / "one").mkdir()
    assert find(("a", "b"), ("one", "two")) == tmp_path / "a/two"
    assert find(("b", "a", ""), ("one", "two")) == tmp_path / "b/one"
    assert find(("c", ""), ("two", "one")) == tmp_path / "one"
    assert find(("c",), ("one",)) is None
    monkeypatch.setenv("DPM_DATA", str(Path("/nowhere/at/all")))
    assert find(("a", ""), ("one",)) is None
