"""Noise schedules: β_1..β_T as functions of T, and the quantities that follow from β.

Every module of this folder is imported, so a new schedule is one new file with a function under ``@schedule``.
"""

import importlib
import pkgutil

from dpm_core.schedules.registry import SCHEDULES, NamedSchedule, make_schedule, schedule
from dpm_core.schedules.tables import Schedule, ScheduleError, Time

importlib.import_module(f"{__name__}.closed_form")  # first in menus
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["SCHEDULES", "NamedSchedule", "Schedule", "ScheduleError", "Time", "make_schedule", "schedule"]
