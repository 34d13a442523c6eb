"""Where runs are: in a folder, or in object storage at an address of fsspec such as ``s3://BUCKET/runs``, with a copy here."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from dpm_core.jobs.storage.bucket import Bucket

_buckets: dict[str, Bucket] = {}
_making = threading.Lock()


def bucket_at(url: str) -> Bucket:
    """The runs at an address. Raises OSError."""
    url = url.rstrip("/")
    with _making:
        if url not in _buckets:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            _buckets[url] = Bucket(url, base / "dpm-explorer" / "runs" / hashlib.sha256(url.encode()).hexdigest()[:16])
        return _buckets[url]


def bucket_of(folder: Path) -> Bucket | None:
    """The storage to which a run's folder is a copy; None for a folder that is none."""
    parent = folder.resolve().parent
    return next((bucket for bucket in list(_buckets.values()) if bucket.copy.resolve() == parent), None)


def address_of(folder: Path) -> str:
    """What another machine finds a run by: its address in the storage, or the path of its folder."""
    bucket = bucket_of(folder)
    return str(folder.resolve()) if bucket is None else f"{bucket.url}/{folder.name}"


def folder_at(address: str) -> Path:
    """The folder of a run, or this machine's copy of it, by ``address_of`` another machine. Raises OSError."""
    if "://" not in address:
        return Path(address)
    url, _, run = address.rpartition("/")
    return bucket_at(url).copy / run
