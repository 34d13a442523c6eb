"""The Denoise page: every rule, numbers that hold, a noisy picture of one's own, and errors in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from pages.ui import cache
from pages.ui.posterior import denoise_compute, denoise_views
from pages.ui.posterior.denoise_compute import DenoiseConfig
from tests.pages.test_pages import APP, check


def open_denoise(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/denoise.py").run())


def ref(name: str) -> cache.ModelRef:
    return cache.ModelRef.of(checkpoints.list_checkpoints()[name])


@pytest.mark.parametrize("rule", list(denoise_views.RULE_TITLES))
def test_every_rule(rule):
    app = open_denoise(denoiser="digits_unet", denoise_rule=rule, n_denoised="4", denoise_steps="25")
    assert not app.error and app.selectbox(key="denoise_rule").value == rule
    words = [caption.value for caption in app.caption]
    assert sum("PSNR" in text for text in words) == 5 and any("σ =" in text for text in words)


def test_the_mean_is_nearest_and_seeds_decide():
    """Ten digits at SNR 1: the mean of the samples beats what was seen by 3 dB, and a single sample."""
    found = [denoise_compute.result(ref("digits_unet"), DenoiseConfig(number=i, n=8, steps=25)) for i in range(10)]
    seen, one, mean = (np.mean([denoise_compute.psnr(f.truth, pick(f)) for f in found]) for pick in PICKS)
    assert mean > seen + 3 and mean > one + 0.5
    again = denoise_compute.result(ref("digits_unet"), DenoiseConfig(number=0, n=8, steps=25, seed=8))
    assert np.array_equal(again.truth, found[0].truth) and not np.array_equal(again.seen, found[0].seen)


PICKS = (lambda f: f.seen, lambda f: f.samples[0], lambda f: f.mean)


def test_a_noisy_picture_of_ones_own():
    """Brick of 48 × 40 with noise of 20 levels: the estimate of σ is near, the mean less noisy, nothing is called the truth."""
    clean = denoise_compute.dataset(ref("brick_unet")).train[0, 0, :48, :40].numpy()
    noisy = np.clip(clean + 20 * np.random.default_rng(0).normal(size=clean.shape), 0, 255).astype(np.uint8)
    assert 14 < denoise_compute.estimate_sigma(noisy) < 27
    how = DenoiseConfig(n=4, steps=25, seen=noisy.tobytes(), shape=noisy.shape, sigma_levels=20.0)
    found = denoise_compute.result(ref("brick_unet"), how)
    assert found.truth is None and np.array_equal(found.seen, noisy) and found.sigma_levels == pytest.approx(20)
    assert denoise_compute.psnr(clean, found.mean) > denoise_compute.psnr(clean, noisy) + 3


def test_the_program_runs(tmp_path):
    """The page's Python, as it stands."""
    import os
    import subprocess
    import sys

    model, how = ref("digits_unet"), DenoiseConfig(n=4, steps=25)
    text = denoise_views.export(model, how, denoise_compute.result(model, how)).python
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=APP.parent, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0 and 0 < float(done.stdout) < 1, done.stderr


def test_no_model_of_images_is_one_sentence(monkeypatch):
    monkeypatch.setattr(checkpoints, "list_checkpoints", lambda *_: {})
    assert [error.value for error in open_denoise().error] == ["There is no trained model of images. Train one on the Train page first."]
