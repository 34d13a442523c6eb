"""Browsers without a screen: the messages between Streamlit's page and its server, and nothing drawn."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode
from urllib.request import urlopen

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

LARGE = 100_000  # bytes of a message that is received and not looked at: a hundred browsers are a hundred processors, this is one
ROOT = Path(__file__).resolve().parent.parent


class Viewer:
    """One browser session. ``finished``: when each run had arrived; ``links``: when it was told each address of a lecturer's page."""

    def __init__(self, socket: websockets.ClientConnection):
        self._socket, self._ended = socket, asyncio.Event()
        self.bytes, self.lost = 0, False
        self.finished, self.links = list[float](), list[tuple[float, str]]()
        self._page, self._controls, self._set = "", dict[str, str](), dict[str, float]()
        self._query: dict[str, object] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for data in self._socket:
                self.bytes += len(data)
                if len(data) > LARGE:
                    continue  # a picture
                message = ForwardMsg.FromString(data)
                kind = message.WhichOneof("type")
                if kind == "script_finished":
                    self.finished.append(time.perf_counter())
                    self._ended.set()
                elif kind == "navigation":
                    self._page = message.navigation.page_script_hash
                elif kind == "delta":
                    self._look(message.delta.new_element)
        finally:
            self.lost = True

    def _look(self, element: Element) -> None:
        """Note the numbers that can be changed, and the address of a lecturer's page."""
        if element.number_input.id:
            self._controls[element.number_input.label] = element.number_input.id
        if element.bidi_component.component_name == "dpm_lecture_bar":
            self.links.append((time.perf_counter(), json.loads(element.bidi_component.json).get("link", "")))

    async def open(self, page: str, **query: object) -> float:
        """Open a page; return the seconds until all of it was there."""
        message = BackMsg()
        message.rerun_script.query_string, message.rerun_script.page_name = urlencode(query), page
        self._set, self._query = {}, {}
        return await self._run(message)

    async def change(self, label: str, name: str, value: float) -> float:
        """Change a number on the page, as a click does that is called ``name`` in the address; return the seconds until all was there."""
        self._set[self._controls[label]], self._query[name] = value, value
        message = BackMsg()
        message.rerun_script.page_script_hash, message.rerun_script.query_string = self._page, urlencode(self._query)
        for id, number in self._set.items():
            message.rerun_script.widget_states.widgets.add(id=id, double_value=number)
        return await self._run(message)

    async def _run(self, message: BackMsg) -> float:
        self._ended.clear()
        began = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        await self._ended.wait()
        return self.finished[-1] - began

    def updated(self, link: str) -> float | None:
        """When the lecturer's page with this in its address had arrived completely."""
        told = next((at for at, seen in self.links if link in seen), None)
        return None if told is None else next((at for at in self.finished if at > told), None)


@asynccontextmanager
async def viewers(base: str, n: int) -> AsyncIterator[list[Viewer]]:
    """``n`` connected browsers."""
    address = base.replace("http", "ws") + "/_stcore/stream"
    protocol: list = ["streamlit"]
    sockets = [await websockets.connect(address, subprotocols=protocol, max_size=None, compression=None) for _ in range(n)]
    yield [Viewer(socket) for socket in sockets]
    await asyncio.gather(*(socket.close() for socket in sockets))


@contextmanager
def server(port: int, **settings: str) -> Iterator[tuple[str, int]]:
    """A server of the app with folders of its own; its address and process id."""
    with TemporaryDirectory() as folder:
        places = {"DPM_RUNS": f"{folder}/runs", "DPM_CHECKPOINTS": f"{folder}/models"}
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | places | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        base = f"http://localhost:{port}"
        try:
            for _ in range(200):
                try:
                    urlopen(f"{base}/_stcore/health", timeout=1).read()
                    break
                except OSError:
                    time.sleep(0.1)
            yield base, process.pid
        finally:
            process.terminate()
            process.wait(10)


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
