"""A VAE in jobs, checkpoints and on the command line."""

from __future__ import annotations

import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.cli.main import main
from dpm_core.config import NetworkConfig, RunConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.relatives import VAE, evaluate_elbo


def test_a_job_trains_a_vae_and_its_checkpoint_is_the_same_model(tmp_path, monkeypatch):
    """The snapshot's K is the bound of its weights; the file says how it was trained, and the diffusion pages refuse it."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "models"))
    data, _ = sources.make("swiss_roll", None, ())
    held_out = data.sample_held_out(300, torch.Generator().manual_seed(1))
    training = TrainConfig(loss="elbo", steps=40, annealing=10)
    run = RunConfig(network=NetworkConfig("autoencoder_mlp", (("width", 16),)), training=training)
    job = jobs.start(jobs.JobConfig("vae", run, jobs.Stop(steps=40), threads=1), data, held_out, tmp_path / "runs")
    assert job.join(60) and job.status == "finished" and job.step == 40
    last, model = job.latest(), job.weights()
    assert isinstance(model, VAE)
    bound = evaluate_elbo(model, held_out, torch.Generator().manual_seed(0))
    assert last.bound_bits == pytest.approx(bound.bound_bits, abs=2e-3)
    assert last.frames.shape == (11, 16, 2) and (last.frames[0] == last.frames[0][0]).all()
    path = job.save("roll_vae")
    assert path.parent.name == "autoencoders" and "roll_vae" not in checkpoints.list_checkpoints()
    loaded = checkpoints.load_vae(path)
    x = held_out[:5]
    assert torch.allclose(loaded.model.reconstruct(x), model.reconstruct(x), atol=1e-6)
    assert "--network autoencoder_mlp" in loaded.meta["command"] and "--annealing 10" in loaded.meta["command"]
    with pytest.raises(checkpoints.CheckpointError, match="is a variational autoencoder and no diffusion model"):
        checkpoints.load(path)
    with pytest.raises(checkpoints.CheckpointError, match="is no variational autoencoder"):
        checkpoints.load_vae(checkpoints.list_checkpoints()["swiss_roll_mlp"])


def test_the_command_line_trains_one(tmp_path, capsys):
    words = ["train", "--network", "autoencoder_conv", "--network-param", "width=8", "--network-param", "latent=4", "--threads", "1"]
    words += ["--steps", "3", "--data", "digits", "--annealing", "2", "--name", "digits_vae", "--out", str(tmp_path)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "ELBO = " in printed and "of 4 latent dimensions active" in printed
    loaded = checkpoints.load_vae(tmp_path / "autoencoders" / "digits_vae.safetensors")
    assert loaded.config.training.loss == "elbo" and loaded.config.training.annealing == 2
    assert loaded.meta["active_latents"] <= 4 and loaded.meta["bound_bits"] < 0


@pytest.mark.parametrize(
    "words",
    [["--loss", "elbo"], ["--network", "autoencoder_mlp", "--loss", "bound"], ["--data", "heartbeat", "--network", "autoencoder_mlp"]],
)
def test_what_does_not_fit_is_said_in_a_sentence(words, tmp_path, capsys):
    assert main(["train", *words, "--steps", "1", "--name", "x", "--out", str(tmp_path)]) != 0
    error = capsys.readouterr().err.strip()
    assert error.endswith(".") and "Traceback" not in error
