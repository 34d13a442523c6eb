"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from dpm_core.data.fetch import Progress
from dpm_core.data.images.registry import Pools, image_set


@image_set("digits", "Digits 8 × 8", "1,797 handwritten digits of scikit-learn (UCI, Alpaydin & Kaynak 1998), 17 grey levels.")
def digits(progress: Progress | None) -> Pools:
    """The digits as grey levels, uint8 ``[N, 1, 8, 8]``; a fixed fifth is held out."""
    from sklearn.datasets import load_digits  # imported here because it takes longer than everything else

    images, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    train, held_out = order[len(order) // 5 :].sort().values, order[: len(order) // 5].sort().values
    labels = torch.from_numpy(labels.astype(np.int64))
    classes = tuple("0123456789")
    return Pools(images[train], images[held_out], labels[train], levels=17, held_out_labels=labels[held_out], classes=classes)
