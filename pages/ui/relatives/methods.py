"""The table of methods: what each needs and what each gives, every cell with a page of this program or a paper."""

from __future__ import annotations

import streamlit as st

COLUMNS = ("Method", "Training needs", "log p(x)", "Sampling", "Latent variable")
DIFFUSION = "https://proceedings.mlr.press/v37/sohl-dickstein15.html"
VAE = "https://arxiv.org/abs/1312.6114"
GAN = "https://arxiv.org/abs/1406.2661"
FLOWS = "https://arxiv.org/abs/1505.05770"
REAL_NVP = "https://arxiv.org/abs/1605.08803"
NADE = "https://proceedings.mlr.press/v15/larochelle11a.html"
PIXEL_RNN = "https://arxiv.org/abs/1601.06759"
SCORE = "https://www.jmlr.org/papers/v6/hyvarinen05a.html"
DENOISING = "https://doi.org/10.1162/NECO_a_00142"
MPF = "https://arxiv.org/abs/0906.4779"
UNROLLED = "https://arxiv.org/abs/1611.02163"  # of the optimisation of GANs, against missing modes

# (text, link) of each cell; a link without "://" is a page of this program
ROWS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("Diffusion", DIFFUSION),
        ("Samples; noise at one time per datum", "train"),
        ("Lower bound K; estimates and, in the plane, quadrature", "likelihood"),
        ("T network calls; fewer with solvers", "continuous"),
        ("x⁽¹⁾ … x⁽ᵀ⁾, as many dimensions as x; the encoder is fixed", "forward"),
    ),
    (
        ("Variational autoencoder", VAE),
        ("Samples; an encoder is trained with the decoder", VAE),
        ("Lower bound (ELBO); importance-weighted estimates", "relatives"),
        ("One network call", "relatives"),
        ("z, usually with fewer dimensions; it can collapse", "relatives"),
    ),
    (
        ("Generative adversarial network", GAN),
        ("Samples; a second network, in a two-player game", GAN),
        ("Not available; modes can be missing", UNROLLED),
        ("One network call", GAN),
        ("z; there is no encoder", GAN),
    ),
    (
        ("Normalising flow", FLOWS),
        ("Samples; an invertible network with a tractable determinant", REAL_NVP),
        ("Exact, by change of variables; a diffusion's flow has it too", "continuous"),
        ("One network call; an ODE for continuous flows", "paths"),
        ("z, as many dimensions as x; the map is invertible", REAL_NVP),
    ),
    (
        ("Autoregressive model", NADE),
        ("Samples; an order of the elements of x", NADE),
        ("Exact, a sum of conditionals", PIXEL_RNN),
        ("One network call per element of x", PIXEL_RNN),
        ("None", NADE),
    ),
    (
        ("Score matching", SCORE),
        ("Samples; derivatives of the model, or denoising", DENOISING),
        ("Up to the normalisation constant", SCORE),
        ("Langevin dynamics, or the reverse equation of a diffusion", "continuous"),
        ("None; with noise levels it is a diffusion", "reverse"),
    ),
    (
        ("Minimum probability flow", MPF),
        ("Samples; a few states near each datum", MPF),
        ("Up to the normalisation constant", MPF),
        ("A Markov chain of the model", MPF),
        ("None", MPF),
    ),
)


def table() -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cell(text, link, bold=not i) for i, (text, link) in enumerate(row)) + " |" for row in ROWS]
    return "\n".join(lines)


def show() -> None:
    """The table, under its heading."""
    with st.container(key="methods"):
        st.subheader("Related methods", anchor="methods")
        st.markdown(table())
        st.caption("Every cell links to a page of this program that shows it, or to a paper.")


def _cell(text: str, link: str, bold: bool) -> str:
    cell = f"[{text}]({link})" if "://" in link else f"[{text}](/{link})"
    return f"**{cell}**" if bold else cell
