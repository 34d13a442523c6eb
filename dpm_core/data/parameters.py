"""Parameters of data sets, such as the side of a crop: (name, value) pairs checked against (name, default) pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpm_core.config import Params
from dpm_core.data.errors import DataError

ACCEPTED: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a name"),
    bool: ((bool,), "true or false"),
}


def checked(title: str, params: Params, defaults: Params, types: Mapping[str, type] | None = None) -> dict[str, Any]:
    """All parameters of the data set ``title`` by name: the values of ``params``, the ``defaults`` for all others.

    A value must have the type of its default: int, float (whole numbers fit too), str or bool. Where the default is None,
    which means "chosen to fit", ``types`` gives the type, int unless stated. Raises DataError for an unknown parameter or a
    value of another type.
    """
    chosen = dict(defaults)
    for key, value in params:
        if key not in chosen:
            known = f"it has {', '.join(chosen)}" if chosen else "it has none, so leave it out"
            raise DataError(f"{title} has no parameter {key!r}; {known}.")
        default = chosen[key]
        if value is None and default is None:
            continue
        wanted = (types or {}).get(key, int if default is None else type(default))
        allowed, what = ACCEPTED[wanted]
        if (isinstance(value, bool) and wanted is not bool) or not isinstance(value, allowed):
            raise DataError(f"The parameter {key} of {title} cannot be {value!r}; give {what}.")
        chosen[key] = value
    return chosen
