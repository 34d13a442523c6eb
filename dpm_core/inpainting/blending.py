"""Join what is copied from many places: solve for the pixels whose gradients are those of the sources (Pérez et al. 2003).

Copies from different places differ in brightness from one another and from the hole's surroundings. Their gradients are right all the
same. The least squares solution spreads those differences over the hole, and no seam is left. An edge where the gradients contradict each
other strongly counts less, so that the colour of one object does not flow into another.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

PULL = 0.003  # weight of the pixel values themselves, beside 1 for each gradient
CONTRADICTION = 1.0  # standard deviations of the picture at which an edge counts half
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))
LIMIT = 4.0  # the mean of two gradients is made at most this much longer, to keep their length


def blend(image: Tensor, hole: Tensor, offsets: Tensor, start: Tensor) -> Tensor:
    """Return ``image`` ``[C, H, W]``, standardised, with its missing pixels copied from ``offsets`` away and joined by their gradients.

    ``hole``: bool ``[H, W]``; ``offsets``: rows and columns, int64 ``[2, H, W]``. Where a source is missing itself, the pixels and
    gradients of ``start`` ``[C, H, W]`` are used.

    Minimises Σ w_pq |x_p − x_q − g_pq|² + PULL Σ |x_p − c_p|² over the missing pixels p and their four neighbours q, where c are the copied
    pixels and g_pq is the gradient in the sources of p and q (their mean, with its length kept, if they differ).
    """
    picture, missing = image.numpy().astype(float), hole.numpy()
    i, j = missing.nonzero()
    order = np.full(missing.shape, -1)
    order[i, j] = np.arange(len(i))
    rows, columns = i + offsets[0].numpy()[i, j], j + offsets[1].numpy()[i, j]
    copied, usable = _look(picture, ~missing, rows, columns)
    copied = np.where(usable[:, None], copied, start.numpy()[:, i, j].T)
    diagonal, right, entries = np.full(len(i), PULL), PULL * copied, []
    for down, across in STEPS:
        beside, _ = _look(order[None], np.ones_like(missing), i + down, j + across)
        other = beside[:, 0]
        pixels, known = _look(picture, ~missing, i + down, j + across)
        ahead, continued = _look(picture, ~missing, rows + down, columns + across)
        continued &= usable
        # towards a known pixel: the source's own gradient, and the contradiction is how the known pixel differs from the source's neighbour
        weight = np.where(known & continued, _weight(pixels - ahead), 0.0)
        diagonal += weight
        right += weight[:, None] * (pixels + copied - ahead)
        # towards another missing pixel: the gradients in both sources
        inside = (other >= 0) & _within(missing, i + down, j + across)
        other = np.where(inside, other, 0)
        before, preceded = _look(picture, ~missing, rows[other] - down, columns[other] - across)
        preceded &= usable[other]
        mine, theirs, plain = copied - ahead, before - copied[other], copied - copied[other]
        mine = np.where(continued[:, None], mine, np.where(preceded[:, None], theirs, plain))
        theirs = np.where(preceded[:, None], theirs, mine)
        weight = np.where(inside, _weight(mine - theirs), 0.0)
        diagonal += weight
        right += weight[:, None] * _mean(mine, theirs)
        entries.append((np.flatnonzero(inside), other[inside], -weight[inside]))
    entries.append((np.arange(len(i)), np.arange(len(i)), diagonal))
    row, column, value = (np.concatenate(part) for part in zip(*entries))
    found = splu(coo_matrix((value, (row, column)), shape=(len(i), len(i))).tocsc()).solve(right)
    out = image.clone()
    out[:, i, j] = torch.from_numpy(found.T).to(image)
    return out


def _within(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    H, W = picture.shape[-2:]
    return (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)


def _look(picture: np.ndarray, known: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels ``[k, C]`` at these places, and whether each is inside the picture and known."""
    H, W = known.shape
    near = rows.clip(0, H - 1), columns.clip(0, W - 1)
    return picture[:, *near].T, _within(known, rows, columns) & known[near]


def _weight(contradiction: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.square(contradiction).mean(1) / CONTRADICTION**2)


def _mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean of two gradients ``[k, C]``, with the root mean square of their lengths: a plain mean would be softer than both."""
    mean = (a + b) / 2
    wanted = np.sqrt((np.square(a).sum(1) + np.square(b).sum(1)) / 2)
    length = np.sqrt(np.square(mean).sum(1)) + 1e-9
    return mean * np.minimum(wanted / length, LIMIT)[:, None]
