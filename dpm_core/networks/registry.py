"""The networks by name. A new one is a new file in this folder with a class under ``@network``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from torch import nn

from dpm_core.config import Params

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Network:
    """A network as a menu shows it.

    ``kinds`` names the kinds of data it is for, the one it was designed for first. ``sizes`` gives parameters by size
    ("small", "medium", "large") as sorted (name, value) pairs; parameters that are not named have their defaults.
    ``build(shape=…, T=…, **params)`` makes the network; ValueError for parameters out of range. Data whose sides
    ``shape[1:]`` are below ``smallest_side`` are too small for it. A ``labelled`` network can be built with ``classes`` > 0 and is
    then called with a label as well, see :class:`dpm_core.reverse.ReverseModel`. A ``classifier`` is no reverse kernel: it is always
    built with ``classes`` and called as ``network(x, t, log_snr) -> logits [n, classes]``. An ``autoencoder`` has ``encode`` and ``decode``
    instead (:class:`dpm_core.networks.autoencoder.Autoencoder`). ``package``: what must be installed for it.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    sizes: Mapping[str, Params]
    build: Callable[..., nn.Module]
    smallest_side: int = 0
    labelled: bool = False
    classifier: bool = False
    autoencoder: bool = False
    package: str = ""

    @property
    def kernel(self) -> bool:
        """Whether the network is that of a reverse kernel."""
        return not (self.classifier or self.autoencoder)

    def __call__(self, *args: Any, **params: Any) -> nn.Module:
        """The network; the same as ``build``."""
        return self.build(*args, **params)

    @property
    def __wrapped__(self) -> Callable[..., nn.Module]:
        """The class itself, whose parameters and defaults :func:`inspect.signature` then finds."""
        return self.build

    def fits(self, kind: str, shape: tuple[int, ...]) -> bool:
        """Whether the network is a reverse kernel's, installed, and for data of this kind and shape."""
        if not self.kernel or (self.package and find_spec(self.package) is None):
            return False
        return kind in self.kinds and (not self.smallest_side or min(shape[1:], default=0) >= self.smallest_side)


NETWORKS: dict[str, Network] = {}


def network(
    name: str,
    title: str,
    kinds: tuple[str, ...] = ("points",),
    sizes: Mapping[str, Params] | None = None,
    *,
    smallest_side: int = 0,
    labelled: bool = False,
    classifier: bool = False,
    autoencoder: bool = False,
    package: str = "",
) -> Callable[[type[N]], type[N]]:
    """Enter the decorated class in NETWORKS as ``name``. Without ``sizes`` all three sizes have the default parameters.

    The class is called as ``cls(shape, T, **params)`` and its objects as ``network(x, t, log_snr) -> (F, v)``; one that is ``labelled``
    also as ``cls(shape, T, classes=K, **params)`` and ``network(x, t, log_snr, label)``.
    """

    def register(cls: type[N]) -> type[N]:
        NETWORKS[name] = Network(
            name, title, kinds, sizes or {"small": (), "medium": (), "large": ()}, cls,
            smallest_side, labelled, classifier, autoencoder, package,
        )  # fmt: skip
        return cls

    return register


def networks_for(kind: str, shape: tuple[int, ...]) -> dict[str, Network]:
    """The networks for data of this kind and shape by name, those designed for the kind first.

    For a kind that no network names these are the networks for points, which take data of any shape.
    """
    fitting = [one for one in NETWORKS.values() if one.fits(kind, shape)]
    fitting = fitting or [one for one in NETWORKS.values() if one.fits("points", shape)]
    return {one.name: one for one in sorted(fitting, key=lambda one: one.kinds[0] != kind)}
