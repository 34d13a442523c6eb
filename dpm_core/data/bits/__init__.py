"""Data sets of bits. Every file of this folder is imported, so that a new set needs no other change."""

import importlib
import pkgutil

from dpm_core.data.bits.dataset import HALF_GREY, MAX_LISTED_BITS, MAX_PATTERNS, RATES, BitDataset, BitSpec, from_draws, from_patterns
from dpm_core.data.bits.registry import BIT_SETS, BitSetInfo, Drawn, Listed, available, bit_set, is_listed, make_bits, shape_of

_IN_ORDER = ("heartbeat", "ising", "black_and_white", "own_patterns")  # the order of menus; other files follow
for _name in dict.fromkeys([*_IN_ORDER, *(_module.name for _module in pkgutil.iter_modules(__path__))]):
    importlib.import_module(f"{__name__}.{_name}")

from dpm_core.data.bits.black_and_white import FROM_IMAGES  # noqa: E402 - after the sets in the order of menus

__all__ = ["BIT_SETS", "FROM_IMAGES", "HALF_GREY", "MAX_LISTED_BITS", "MAX_PATTERNS", "RATES", "BitDataset", "BitSetInfo", "BitSpec"]
__all__ += ["Drawn", "Listed", "available", "bit_set", "from_draws", "from_patterns", "is_listed", "make_bits", "shape_of"]
