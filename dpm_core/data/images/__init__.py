"""Image data sets. Every file of this folder is imported, so that a new set needs no other change."""

import importlib
import pkgutil

from dpm_core.data.images.pools import ImageDataset, from_pools
from dpm_core.data.images.registry import IMAGE_SETS, ImageSetInfo, Pools, available, image_set, make_images
from dpm_core.data.images.spec import MARGIN, ImageSpec

_IN_ORDER = ("digits", "idx", "cifar10", "dead_leaves", "textures", "photographs", "own_image")  # the order of menus; other files follow
for _name in dict.fromkeys([*_IN_ORDER, *(_module.name for _module in pkgutil.iter_modules(__path__))]):
    importlib.import_module(f"{__name__}.{_name}")

__all__ = ["IMAGE_SETS", "MARGIN", "ImageDataset", "ImageSetInfo", "ImageSpec", "Pools", "available", "from_pools", "image_set"]
__all__ += ["make_images"]
