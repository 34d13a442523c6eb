"""Everything that the canvas shows, as one ``bytes``: b"DPP1", uint32 length of a JSON header, the header, uint8 blocks.

``image`` and ``before`` are [H, W, C] row by row; ``mask`` and ``filled`` eight pixels per byte, the first in the
highest bit; ``result`` holds only the pixels inside ``filled``, so that a completion which changes several times a
second stays small. A picture that the browser reports to have, by its checksum, is not sent again: its block is empty.
In mode "draw" the image is the drawing and there is no other block.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Collection

import numpy as np

MODES = ("mask", "draw")
SMALL = 64  # pixels: a picture up to this size is magnified by whole numbers
MAX_BYTES = 12 << 20


def pack(
    image: np.ndarray,
    mask: np.ndarray | None,
    revision: int,
    *,
    mode: str = "mask",
    result: np.ndarray | None = None,
    filled: np.ndarray | None = None,
    before: np.ndarray | None = None,
    height: int | None = None,
    known: Collection[int] = (),
) -> bytes:
    """Return the message for the canvas.

    revision: of the mask or drawing, see `PlaneSync`. known: checksums of the pictures that the browser has. The other
    arguments are those of `paint`. Raises ValueError, with one sentence, when an argument is not valid.
    """
    if mode not in MODES:
        raise ValueError(f"The mode must be one of {', '.join(MODES)}, not {mode!r}.")
    check_picture("image", image)
    if mode == "draw" and image.ndim != 2:
        raise ValueError(f"A drawing must have shape [H, W], not {list(image.shape)}.")
    size = image.shape[:2]
    blocks = [("image", _channels(image), _raw(image))]
    if mode == "mask":
        blocks.append(("mask", 1, _bits("mask", mask, size)))
    if result is not None:
        check_picture("result", result, size)
        where = mask if filled is None else filled
        blocks.append(("filled", 1, _bits("filled", where, size)))
        blocks.append(("result", _channels(result), _raw(result[np.asarray(where)])))
    if before is not None:
        check_picture("before", before, size)
        blocks.append(("before", _channels(before), _raw(before)))
    total = sum(len(raw) for _, _, raw in blocks)
    if total > MAX_BYTES:
        raise ValueError(f"The pictures take {total / 2**20:.1f} MB and the limit is {MAX_BYTES >> 20} MB: use smaller pictures.")
    described, sent = [], []
    for name, channels, raw in blocks:
        checksum = zlib.crc32(raw) if name in ("image", "before") else None
        sent.append(b"" if mode == "mask" and checksum in known else raw)
        described.append({"name": name, "channels": channels, "bytes": len(sent[-1]), "checksum": checksum})
    header = {
        "mode": mode, "width": size[1], "height": size[0], "small": max(size) <= SMALL, "tall": height, "revision": revision,
        "blocks": described,
    }  # fmt: skip
    text = json.dumps(header).encode()
    return b"".join([b"DPP1", struct.pack("<I", len(text)), text, *sent])


def check_picture(name: str, picture: np.ndarray, size: tuple[int, ...] | None = None) -> None:
    """Require uint8 [H, W] or [H, W, 3], of this size where one is given. Raises ValueError."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        raise ValueError(f"The {name} must be a uint8 array, not {getattr(picture, 'dtype', type(picture).__name__)}.")
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3) or 0 in picture.shape:
        raise ValueError(f"The {name} must have shape [H, W] or [H, W, 3], not {list(picture.shape)}.")
    if size is not None and picture.shape[:2] != size:
        raise ValueError(f"The {name} must have the image's size {list(size)}, not {list(picture.shape[:2])}.")


def check_mask(name: str, mask: np.ndarray | None, size: tuple[int, ...]) -> None:
    """Require bool [H, W] of this size. Raises ValueError."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != size:
        seen = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ValueError(f"The {name} must be a bool array of the image's size {list(size)}, not {seen}.")


def _channels(picture: np.ndarray) -> int:
    return 3 if picture.ndim == 3 else 1


def _raw(picture: np.ndarray) -> bytes:
    return np.ascontiguousarray(picture).tobytes()


def _bits(name: str, mask: np.ndarray | None, size: tuple[int, ...]) -> bytes:
    check_mask(name, mask, size)
    return np.packbits(np.asarray(mask)).tobytes()
