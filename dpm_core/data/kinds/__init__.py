"""The kinds of data. Every file of this folder is imported, so that a new kind needs no other change in the core."""

import importlib
import pkgutil

from dpm_core.data.kinds.base import DATA_KINDS, DataKind, HeldOut, Unit, classes_of, kind_of, kind_of_dataset, register

_IN_ORDER = ("points", "images", "bits")  # the order of menus; other files follow
for _name in dict.fromkeys([*_IN_ORDER, *(_module.name for _module in pkgutil.iter_modules(__path__))]):
    importlib.import_module(f"{__name__}.{_name}")

__all__ = ["DATA_KINDS", "DataKind", "HeldOut", "Unit", "classes_of", "kind_of", "kind_of_dataset", "register"]
