"""The Reverse page's parts: which model, and the kernel at a clicked point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st
import torch

from dpm_core import checkpoints
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from dpm_core.data.bits import BIT_SETS, BitSpec
from dpm_core.data.images import IMAGE_SETS, ImageSpec
from dpm_core.data.toy2d import SHAPES
from dpm_core.figures.charts import kernel_figure
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.samplers import Recording
from pages.ui import cache, session
from pages.ui.components.player import clean_pick, unpack
from pages.ui.controls import widgets
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.bits import bit_controls
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.points import stages
from pages.ui.kinds.points.recordings import SamplerConfig


@st.cache_data(max_entries=256, show_spinner=False)
def model_title(path: Path, modified: float) -> str:
    """A checkpoint in a menu: data, network, T; its file name when it is not readable."""
    try:
        config = from_dict(RunConfig, checkpoints.read_header(path)["config"])
    except (ValueError, KeyError):
        return f"{path.stem} (not readable)"
    name = config.data.name
    sets = IMAGE_SETS | BIT_SETS
    data = SHAPES[name][0] if name in SHAPES else sets[name].title if name in sets else path.stem
    units = dict(config.network.params).get("units", 16)
    networks = {"mlp": "MLP", "rbf": f"RBF, {units} units", "unet": "U-Net", "multiscale": "multi-scale"}
    networks |= {"bit_mlp": "MLP", "sigmoid": "sigmoid layers"}
    network = networks.get(config.network.name, config.network.name)
    own = "" if path.parent == checkpoints.SHIPPED else f" · {path.stem}"
    return f"{data} · {network} · T = {config.schedule.T}{own}"


@st.cache_data(max_entries=256, show_spinner=False)
def data_name(path: Path, modified: float) -> str:
    """The data set that a checkpoint was trained on; "" when it is not readable."""
    try:
        return from_dict(RunConfig, checkpoints.read_header(path)["config"]).data.name
    except (ValueError, KeyError):
        return ""


def model_parts(name: str, path: Path | None) -> tuple[cache.ModelRef | None, PlaneSource | ImageSpec | BitSource, ScheduleConfig]:
    """What the page needs of the chosen model; without a network, data and schedule come from controls.

    Raises CheckpointError, and DataError where the bits of a checkpoint are not at hand.
    """
    if path is None:
        source = bit_controls.plane_or_bits()
        return None, source, bit_controls.schedule_config() if isinstance(source, BitSource) else widgets.schedule_config(T=5)
    ref = cache.ModelRef.of(path)
    loaded = cache.model(ref)
    config, data = loaded.config, loaded.dataset
    if isinstance(data, BitSpec):
        source = BitSource.of(loaded)
        cache.bits(source)  # now, while it can be said: a pool may not be on this machine any more
        return ref, source, config.schedule
    if isinstance(data, ImageSpec):
        return ref, data, config.schedule
    source = PlaneSource(config.data.name, config.data.noise)
    if config.data.name == "own":
        # the constants are stored with the checkpoint: undoing them gives the points back in raw units
        raw = data.points.numpy() * np.array(data.scale) + np.array(data.mean)
        source = PlaneSource("own", data.noise, raw.tobytes(), data.title)
    return ref, source, config.schedule


def show(
    ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, payload: bytes, left: Recording, click: object
) -> None:
    """q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) at the clicked point: exact density, its Gaussian fit and the network's Gaussian."""
    shown = (ref, source, schedule)
    if st.session_state.setdefault("picked_on", shown) != shown:  # a point of another model means nothing here
        st.session_state["picked_on"], st.session_state["pick"] = shown, None
    if click is not None and (clicked := clean_pick(click, unpack(payload)[0])):
        if clicked["t"] >= 1:
            st.session_state["pick"] = (clicked["t"], clicked["x"], clicked["y"])
        else:
            st.caption("At t = 0 there is no step left to take back: go to an earlier moment and click again.")
    first = stages.opening(cache.diffusion(schedule), left.times.tolist())  # as long as nothing is clicked
    default = (max(1, int(left.times[first])), *map(float, left.x[first, 0]))
    pick = session.linked("pick", session.decode_pick, None)
    session.put_in_link("pick", session.encode_pick(*pick) if pick else None)
    t, x, y = pick or default
    t = min(t, schedule.T)
    xt = torch.tensor([[x, y]])
    truth = cache.exact(source, schedule)
    fit = truth.reverse(xt, t)
    guess = cache.model(ref).model.reverse(xt, t) if ref else None
    dark = st.context.theme.type == "dark"
    gaussians = {"Gaussian fit": (fit.mean[0].numpy(), fit.stddev[0].numpy(), "exact")}
    if guess:
        gaussians["network"] = (guess.mean[0].numpy(), guess.stddev[0].numpy(), "model")
    centre, width = fit.mean[0].numpy(), 3.6 * float(fit.stddev.max())
    axis = np.linspace(-width, width, 81, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + centre
    log_density = truth.log_kernel(torch.from_numpy(points), xt, t).numpy().reshape(81, 81)
    mass = float(np.exp(log_density).sum() * (axis[1] - axis[0]) ** 2)
    picture, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    picture.plotly_chart(
        kernel_figure(axis + centre[0], axis + centre[1], np.exp(log_density), gaussians, (x, y), dark),
        config={"displaylogo": False, "modeBarButtons": [["toImage"]]}, key="kernel",
    )  # fmt: skip
    words.markdown(f"**Where did this particle come from?** At t = {t}, x = ({_pair(xt[0])}).")
    rows = [f"| exact fit | ({_pair(fit.mean[0])}) | ({_pair(fit.stddev[0])}) |"]
    if guess:
        rows.append(f"| network | ({_pair(guess.mean[0])}) | ({_pair(guess.stddev[0])}) |")
    words.markdown("| | mean | standard deviation |\n|---|---|---|\n" + "\n".join(rows))
    if guess:
        kl = float(torch.distributions.kl_divergence(fit, guess).sum()) / NATS_PER_BIT
        words.markdown(f"The network's Gaussian is {kl:.3f} bits from the best one, KL(fit ‖ network).")
    words.caption(
        f"Shaded: the exact q(x{_raised(t - 1)}|x{_raised(t)}), {100 * min(mass, 1):.0f} % of it in view. "
        "Rings: one and two standard deviations. Click another particle to move here."
    )


def _pair(values: torch.Tensor) -> str:
    return ", ".join(f"{float(v):.3f}" for v in values).replace("-", "−")


def _raised(t: int) -> str:
    return f"⁽{t}⁾".translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def python(name: str, ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig) -> str:
    """The Python that makes the page's particles."""
    eta = f", eta={how.eta}" if how.name == "ddim" else ""
    if ref:
        imports = "from dpm_core.checkpoints import load\n"
        made = f"checkpoint = load({name!r})\ndiffusion, data = checkpoint.diffusion, checkpoint.dataset\nlearned = checkpoint.model\n"
        kernels = "(learned, data.exact_reverse(diffusion))"
    else:
        imports = (
            "from dpm_core.data import toy2d, uploads\nfrom dpm_core.process import GaussianDiffusion\n"
            "from dpm_core.schedules import make_schedule\n"
        )
        made = f"data = {widgets.python_data(source)}\ndiffusion = GaussianDiffusion({widgets.python_schedule(schedule)})\n"
        kernels = "(data.exact_reverse(diffusion),)"
    return f"""import torch
{imports}from dpm_core.samplers import {how.name}

{made}x_T = torch.randn({how.n}, 2, generator=torch.Generator().manual_seed({how.seed}))
for kernel in {kernels}:
    noise = torch.Generator().manual_seed({how.seed + 1})
    *_, (t, x) = {how.name}(kernel, diffusion, x_T, steps={how.steps}{eta}, generator=noise)
    print(type(kernel).__name__, x.mean(0), x.var(0))
"""
