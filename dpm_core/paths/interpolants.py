"""Paths x_s = a(s) x⁽⁰⁾ + b(s) ε from data at s = 0 to noise at s = 1. A new one is a function here with the decorator ``path``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Coefficients = tuple[Tensor, Tensor, Tensor, Tensor]
EXPLODED, FINEST, POWER = 20.0, 0.005, 7  # of the variance-exploding path: its last noise, the finest it resolves, and Karras's ρ


@dataclass(frozen=True)
class Path:
    """``coefficients(s)``: a, b and their derivatives, float64 shaped as s in [0, 1]; b(0) = 0, and a/b falls."""

    title: str
    coefficients: Callable[[Tensor], Coefficients]


PATHS: dict[str, Path] = {}


def path(name: str, title: str) -> Callable[[Callable[[Tensor], Coefficients]], Callable[[Tensor], Coefficients]]:
    """Register a path under a name."""

    def register(coefficients: Callable[[Tensor], Coefficients]) -> Callable[[Tensor], Coefficients]:
        PATHS[name] = Path(title, coefficients)
        return coefficients

    return register


@path("line", "Straight line")
def line(s: Tensor) -> Coefficients:
    """(1 − s) x⁽⁰⁾ + s ε: flow matching and rectified flow (Lipman et al. 2023, Liu et al. 2023)."""
    return 1 - s, s, -torch.ones_like(s), torch.ones_like(s)


@path("preserving", "Variance preserving")
def preserving(s: Tensor) -> Coefficients:
    """cos(πs/2) x⁽⁰⁾ + sin(πs/2) ε: a diffusion with the cosine schedule, whose variance stays 1."""
    angle = s * math.pi / 2
    return angle.cos(), angle.sin(), -math.pi / 2 * angle.sin(), math.pi / 2 * angle.cos()


@path("exploding", "Variance exploding")
def exploding(s: Tensor) -> Coefficients:
    """x⁽⁰⁾ + b(s) ε with b = (c + s (d − c))⁷ − c⁷, which grows from 0 to EXPLODED (Song & Ermon 2019, Karras et al. 2022, Eq. 5)."""
    c, d = FINEST ** (1 / POWER), (EXPLODED + FINEST) ** (1 / POWER)
    root = c + s * (d - c)
    return torch.ones_like(s), root**POWER - FINEST, torch.zeros_like(s), POWER * (d - c) * root ** (POWER - 1)
