"""Data sets in the plane, standardised to mean 0 and variance 1 in each coordinate: built-in shapes and a user's own points."""

from dpm_core.data.errors import DataError
from dpm_core.data.toy2d import shapes  # enters the built-in shapes in SHAPES
from dpm_core.data.toy2d.dataset import PlaneDataset
from dpm_core.data.toy2d.registry import (
    DATASETS,
    MAX_OWN_POINTS,
    NOISE_RANGE,
    OWN_NOISE,
    SHAPES,
    SPACING,
    Shape,
    checked_noise,
    from_points,
    make_dataset,
    plane_set,
)

__all__ = ["DATASETS", "MAX_OWN_POINTS", "NOISE_RANGE", "OWN_NOISE", "SHAPES", "SPACING", "DataError", "PlaneDataset", "Shape"]
__all__ += ["checked_noise", "from_points", "make_dataset", "plane_set", "shapes"]
