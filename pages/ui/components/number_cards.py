"""Cards that each show one number with its reference value."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

_CARDS = """<style>
.dpm-cards { display: grid; gap: 0.7rem; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr));
  font-variant-numeric: tabular-nums; }
.dpm-cards > div { border: 1px solid color-mix(in srgb, currentColor 14%%, transparent); border-radius: 12px;
  padding: 0.6rem 0.9rem 0.65rem; }
.dpm-cards h4 { margin: 0; padding: 0; font-size: 0.8125rem; font-weight: 400; opacity: 0.72; }
.dpm-cards b { display: block; font-size: 1.375rem; line-height: 1.35; font-weight: 650; }
.dpm-cards small { display: block; font-size: 0.8125rem; line-height: 1.4; opacity: 0.72; }
.dpm-bar { height: 4px; border-radius: 2px; background: color-mix(in srgb, currentColor 14%%, transparent); margin: 0.35rem 0 0.3rem; }
.dpm-bar i { display: block; height: 4px; border-radius: 2px; background: currentColor; }
</style><div class="dpm-cards">%s</div>"""


def show(rows: Iterable[tuple[str, str, str]]) -> None:
    """Show a card for each (title, value, note). All three are HTML written in this code base, never a user's text."""
    st.html(_CARDS % "".join(f"<div><h4>{title}</h4><b>{value}</b><small>{note}</small></div>" for title, value, note in rows))


def number(value: float, digits: int = 2) -> str:
    """Return the number with this many decimals and a minus sign (U+2212)."""
    return f"{value:.{digits}f}".replace("-", "−")


def plus_minus(error: float) -> str:
    """A standard error with two digits, never as a power of ten."""
    if 0 < error < 1e-4:
        return "± <0.0001"  # a digit after it: no browser takes this for a tag
    return f"± {error:.2g}" if error < 100 else f"± {error:,.0f}"


def count(n: int) -> str:
    """A number of parameters, millions with two digits."""
    return f"{n / 1e6:.2g} million" if n >= 1e6 else f"{n:,}"
