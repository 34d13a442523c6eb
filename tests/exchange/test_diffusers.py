"""Models of diffusers: imported they sample as diffusers does, at every step; exported they do so there; bad folders in one sentence."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from dpm_core import checkpoints, exchange
from dpm_core.checkpoints import CheckpointError
from dpm_core.cli.main import main
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.exchange import export_diffusers, export_torch, import_diffusers
from dpm_core.networks import NETWORKS, networks_for
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ancestral, ddim
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer

T, SHAPE = 25, (3, 16, 16)
PARTS = {
    "block_out_channels": (16, 32), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "layers_per_block": 1,
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "norm_num_groups": 8,
}  # fmt: skip


def saved(folder, scheduler, shape=SHAPE, pipeline=DDPMPipeline, **settings):
    """A UNet2DModel with random weights, saved by diffusers; the pipeline itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unet = UNet2DModel(sample_size=shape[1], in_channels=shape[0], out_channels=shape[0], **PARTS | settings)
    made = pipeline(unet.eval(), scheduler)
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder, safe_serialization=True)
    return made


@torch.no_grad()
def steps_of(pipeline, n=2, labels=None, **options):
    """Every state of diffusers' own scheduler, from the noise of a generator with seed 3."""
    generator = torch.Generator().manual_seed(3)
    scheduler, unet = pipeline.scheduler, pipeline.unet
    scheduler.set_timesteps(T)
    x = torch.randn(n, *SHAPE, generator=generator)
    states = [x]
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t, class_labels=labels).sample, t, x, generator=generator, **options).prev_sample
        states.append(x)
    return states


def farthest(run, states):
    """The largest difference of all steps."""
    found = [step.x for step in run]
    assert len(found) == len(states) == T + 1
    return max(float((a - b).abs().max()) for a, b in zip(found, states))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_ddpm_is_equal_at_every_step(tmp_path, prediction, betas):
    """To 1e-4, from the same noise, clipped as diffusers clips unless told otherwise."""
    scheduler = DDPMScheduler(num_train_timesteps=T, beta_start=1e-3, beta_end=0.2, beta_schedule=betas, prediction_type=prediction)
    pipeline = saved(tmp_path / "pipe", scheduler)
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    assert torch.allclose(loaded.diffusion.schedule.betas, scheduler.betas.double(), rtol=1e-5)
    run = ancestral(loaded.model, loaded.diffusion, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    assert farthest(run, steps_of(pipeline)) < 1e-4


@pytest.mark.parametrize("heads", [None, 4])
def test_settings_that_are_null_stay_null(tmp_path, heads):
    """attention_head_dim None means one head, not the default of the class."""
    pipeline = saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T, beta_end=0.2), attention_head_dim=heads)
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    run = ancestral(loaded.model, loaded.diffusion, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    assert farthest(run, steps_of(pipeline)) < 1e-4
    assert "attention_head_dim" in dict(loaded.config.network.params)


def test_older_names_of_attention(tmp_path):
    """query, key, value and proj_attn, as in files of the first versions."""
    pipeline = saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T, beta_end=0.2))
    path = tmp_path / "pipe" / "unet" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(path)
    renamed = {}
    for key, value in weights.items():
        for now, before in old.items():
            key = key.replace(f".{now}.", f".{before}.") if ".attentions." in key else key
        renamed[key] = value
    assert renamed.keys() != weights.keys()
    save_file(renamed, path)
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    assert all(torch.equal(value, pipeline.unet.state_dict()[key]) for key, value in loaded.model.network.unet.state_dict().items())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [("cifar11", "Unknown image set"), ("digits", "are 1 × 8 × 8, and the model is for 3 × 16 × 16"), ("photographs", "")],
)
def test_the_data_must_fit(tmp_path, data, sentence):
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    if sentence:
        with pytest.raises(CheckpointError, match=sentence):
            import_diffusers(tmp_path / "pipe", "pipe", data)
    else:
        assert dict(import_diffusers(tmp_path / "pipe", "pipe", data).config.data.params) == {"channels": 3, "size": 16}


@pytest.mark.parametrize("settings", [{"variance_type": "fixed_large"}, {"clip_sample": False}, {"clip_sample_range": 2.0}])
def test_variance_and_clipping(tmp_path, settings):
    pipeline = saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T, beta_end=0.2, **settings))
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    run = ancestral(loaded.model, loaded.diffusion, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    assert farthest(run, steps_of(pipeline)) < 1e-4


@pytest.mark.parametrize("clip", [True, False])
def test_ddim_is_equal_at_every_step(tmp_path, clip):
    """η = 0. Where x̂⁽⁰⁾ is clipped, diffusers must be told to use it for the direction as well (use_clipped_model_output)."""
    scheduler = DDIMScheduler(num_train_timesteps=T, beta_end=0.2, clip_sample=clip)
    pipeline = saved(tmp_path / "pipe", scheduler, pipeline=DDIMPipeline)
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    x_T = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    assert farthest(ddim(loaded.model, loaded.diffusion, x_T), steps_of(pipeline, use_clipped_model_output=clip)) < 1e-4


def test_the_pipelines_end_with_the_same_pictures(tmp_path):
    """DDPMPipeline and DDIMPipeline themselves, as pixels from 0 to 1."""
    for made, scheduler in (
        (DDPMPipeline, DDPMScheduler(num_train_timesteps=T, beta_end=0.2)),
        (DDIMPipeline, DDIMScheduler(num_train_timesteps=T, beta_end=0.2, clip_sample=False)),
    ):
        folder = tmp_path / made.__name__
        pipeline = saved(folder, scheduler, pipeline=made)
        options = {"use_clipped_model_output": False} if made is DDIMPipeline else {}
        theirs = pipeline(
            batch_size=2, num_inference_steps=T, generator=torch.Generator().manual_seed(3), output_type="np", **options
        ).images
        loaded = import_diffusers(folder, "pipe")
        generator = torch.Generator().manual_seed(3)
        sampler = ddim if made is DDIMPipeline else ancestral
        x_T = torch.randn(2, *SHAPE, generator=generator)
        *_, (_, x) = sampler(loaded.model, loaded.diffusion, x_T, generator=generator)
        ours = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        assert np.abs(ours - theirs).max() < 1e-4


def test_a_class_conditional_model(tmp_path):
    """Each class as in diffusers; "no label" is the mean of the class vectors; labels out of range in one sentence."""
    pipeline = saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T, beta_end=0.2), num_class_embeds=4)
    loaded = import_diffusers(tmp_path / "pipe", "pipe")
    assert loaded.model.classes == 4 and loaded.dataset.classes == ("0", "1", "2", "3")
    run = ancestral(loaded.model.given(2), loaded.diffusion, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    assert farthest(run, steps_of(pipeline, labels=torch.tensor([2, 2]))) < 1e-4
    vectors = loaded.model.network.unet.class_embedding.weight
    torch.testing.assert_close(vectors[4], vectors[:4].mean(0))
    with pytest.raises(ValueError, match="whole number from 0 to 3"):
        loaded.model.given(7)


def test_it_is_a_checkpoint_like_any_other(tmp_path, monkeypatch, capsys):
    """Import, sample, evaluate, inpaint and export on the command line; the exported pipeline has the weights of the first."""
    from PIL import Image

    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "own"))
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T, beta_end=0.2))
    assert main(["import", str(tmp_path / "pipe"), "--name", "mine"]) == 0
    assert "unet2d, 0.2 million parameters, 3 × 16 × 16; K is measured on Photographs" in capsys.readouterr().out
    assert main(["sample", "mine", "-n", "3", "--steps", "5", "-o", str(tmp_path / "x.npz")]) == 0
    assert np.load(tmp_path / "x.npz")["x"].shape == (3, *SHAPE)
    capsys.readouterr()
    assert main(["evaluate", "mine", "--json", "-n", "64"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert np.isfinite(report["bound_bits"]) and len(report["kl_bits"]) == T - 1
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    Image.fromarray(np.pad(np.full((6, 6), 255, np.uint8), 5)).save(tmp_path / "mask.png")
    arguments = [str(tmp_path / name) for name in ("picture.png", "mask.png")]
    assert main(["inpaint", *arguments, "-o", str(tmp_path / "filled.png"), "--model", "mine", "--steps", "5", "--rule", "repaint"]) == 0
    filled = np.asarray(Image.open(tmp_path / "filled.png"))
    assert (filled[:5] == pixels[:5]).all() and not (filled[5:11, 5:11] == pixels[5:11, 5:11]).all()
    assert main(["export", "mine", "--to", "diffusers", str(tmp_path / "back")]) == 0
    first, second = (load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors") for name in ("pipe", "back"))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert main(["import", str(tmp_path / "pipe"), "--name", "mine"]) == 2
    assert "already a checkpoint named 'mine'" in capsys.readouterr().err


def edited(folder, file, **values):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def pickled(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def shards(folder):
    (folder / "unet" / "other.safetensors").write_bytes(b"")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "one.safetensors")


def spoiled(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_in.weight"][0] = torch.nan
    save_file(weights, path)


BAD = {
    "pickled weights": (pickled, "can hold any program and is not opened"),
    "no weights": (lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "There are no weights"),
    "several files": (shards, "divided among several files"),
    "no config": (lambda f: (f / "unet" / "config.json").unlink(), "has no unet/config.json"),
    "no scheduler": (lambda f: (f / "scheduler" / "scheduler_config.json").unlink(), "describes the scheduler"),
    "other model": (lambda f: edited(f, "unet/config.json", _class_name="UNet2DConditionModel"), "only UNet2DModel can be imported"),
    "other scheduler": (
        lambda f: edited(f, "scheduler/scheduler_config.json", _class_name="EulerDiscreteScheduler"),
        "EulerDiscreteScheduler",
    ),
    "not JSON": (lambda f: (f / "unet" / "config.json").write_text("{"), "cannot be read as JSON"),
    "a list": (lambda f: (f / "unet" / "config.json").write_text("[]"), "must hold one JSON object"),
    "contradiction": (lambda f: edited(f, "unet/config.json", block_out_channels=[16, 64]), "weights contradict config.json"),
    "fewer layers": (lambda f: edited(f, "unet/config.json", layers_per_block=2), "weights contradict config.json"),
    "size": (lambda f: edited(f, "unet/config.json", sample_size=1024), "sides of 8 to 256 pixels"),
    "channels": (lambda f: edited(f, "unet/config.json", in_channels=4, out_channels=4), "models with 1 or 3 channels"),
    "setting": (lambda f: edited(f, "unet/config.json", cross_attention_dim=32), "setting 'cross_attention_dim'"),
    "classes": (lambda f: edited(f, "unet/config.json", class_embed_type="timestep"), "only labels can be imported"),
    "huge": (lambda f: edited(f, "unet/config.json", block_out_channels=[16, 10**9]), "numbers up to 2,048"),
    "not square": (lambda f: edited(f, "unet/config.json", sample_size=[16, 32]), "only square ones"),
    "clip range": (lambda f: edited(f, "scheduler/scheduler_config.json", clip_sample_range=None), "a positive number is needed"),
    "thresholding": (lambda f: edited(f, "scheduler/scheduler_config.json", thresholding=True), "dynamic thresholding"),
    "learned": (lambda f: edited(f, "scheduler/scheduler_config.json", variance_type="learned"), "'learned'"),
    "steps": (lambda f: edited(f, "scheduler/scheduler_config.json", num_train_timesteps=1), "has 1 time steps"),
    "betas": (lambda f: edited(f, "scheduler/scheduler_config.json", trained_betas=[2.0] * T), "between 0 and 1"),
    "schedule": (lambda f: edited(f, "scheduler/scheduler_config.json", beta_schedule="wave"), "cannot be built"),
    "not finite": (spoiled, "not finite"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_folders(tmp_path, fault, monkeypatch, capsys):
    """One sentence, exit code 2, and nothing half imported."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "own"))
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    spoil, sentence = BAD[fault]
    spoil(tmp_path / "pipe")
    assert main(["import", str(tmp_path / "pipe"), "--name", "mine"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not list((tmp_path / "own").glob("*"))


def test_more_than_the_memory(tmp_path, monkeypatch):
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    with pytest.raises(CheckpointError, match=r"GB of memory, and 0\.0 GB are free"):
        import_diffusers(tmp_path / "pipe", "pipe")


def test_without_diffusers(tmp_path, monkeypatch, capsys):
    """One sentence says what to install, and the network is in no menu."""
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    monkeypatch.setattr("dpm_core.networks.registry.find_spec", lambda name: None)
    assert "unet2d" not in networks_for("images", SHAPE)
    assert main(["import", str(tmp_path / "pipe"), "--name", "mine"]) == 2
    assert "pip install -r requirements-diffusers.txt" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [0, 3])
def test_trained_here_it_samples_alike_there(tmp_path, labels):
    """A few steps of training; the exported pipeline gives the same states, and opens with from_pretrained."""
    diffusion = GaussianDiffusion(make_schedule("linear", T, beta_end=0.002))
    network = NetworkConfig("unet2d", tuple(sorted({**PARTS, "block_out_channels": (8, 16)}.items())), classes=labels)
    model = build_model(network, diffusion, SHAPE)
    data = make_images("photographs", (("channels", 3), ("size", 16)))

    def labelled(n, generator):
        return data.batches()(n, generator), torch.zeros(n, dtype=torch.int64)

    trainer = Trainer(model, labelled if labels else data.batches(), TrainConfig(loss="simple", steps=3, batch=8, learning_rate=1e-3))
    losses = [trainer.step().loss for _ in range(3)]
    assert np.isfinite(losses).all()
    run = checkpoints.format.RunConfig(network=network)
    checkpoint = checkpoints.Checkpoint("mine", trainer.average.eval(), run, data.spec)
    export_diffusers(checkpoint, tmp_path / "out")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out")
    given = trainer.average.given(1) if labels else trainer.average
    run = ancestral(given, diffusion, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    assert farthest(run, steps_of(pipeline, labels=torch.tensor([1, 1]) if labels else None)) < 1e-4
    with pytest.raises(CheckpointError, match="exists already"):
        export_diffusers(checkpoint, tmp_path / "out")


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(CheckpointError, match="'unet' is none of diffusers"):
        export_diffusers(checkpoints.load("digits_unet"), tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"must end in \.pt2"):
        export_torch(checkpoints.load("digits_unet"), tmp_path / "out.pt")
    with pytest.raises(CheckpointError, match="Models of bits"):
        export_torch(checkpoints.load("heartbeat_mlp"), tmp_path / "out.pt2")


@pytest.mark.parametrize("name", ["digits_unet", "swiss_roll_mlp", "digits_classes_unet"])
def test_our_networks_as_one_program(tmp_path, name):
    """Mean and variance of x⁽⁰⁾ from the file alone, for another batch size, to 1e-5 of the model's."""
    loaded = checkpoints.load(name)
    path = export_torch(loaded, tmp_path / "model.pt2")
    program = torch.export.load(path).module()
    generator = torch.Generator().manual_seed(0)
    x, t = torch.randn(7, *loaded.shape, generator=generator), torch.randint(2, loaded.diffusion.T, (7,), generator=generator)
    found, wanted = program(x, t), loaded.model.x0_posterior(x, t)
    for a, b in zip(found, wanted):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_sizes_of_the_menu_grow():
    counts = [
        sum(
            p.numel() for p in build_model(NetworkConfig("unet2d", size), GaussianDiffusion(make_schedule("linear", T)), SHAPE).parameters()
        )
        for size in NETWORKS["unet2d"].sizes.values()
    ]
    assert counts == sorted(counts) and "unet2d" in networks_for("images", SHAPE)


def zipped(folder, **more):
    """The folder as a .zip, inside another folder, with further files."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, f"model/{path.relative_to(folder)}")
        for name, data in more.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_an_archive_is_unpacked_without_anything_else(tmp_path):
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    raw = zipped(tmp_path / "pipe", **{"../../evil.py": b"x", "model/other.pkl": b"y", "__MACOSX/unet/._a.safetensors": b"z"})
    assert exchange.holds_diffusers(raw) and not exchange.holds_diffusers(b"PK")
    with exchange.unpacked(raw, "mine") as folder:
        assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
            "config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json",
        ]  # fmt: skip
        loaded = import_diffusers(folder, "mine")
    assert loaded.diffusion.T == T and not folder.exists() and not (tmp_path.parent / "evil.py").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (pickled, "only there as a pickle"),
        (shards, "holds 2 files of weights"),
        (lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "holds 0 files of weights"),
        (lambda f: (f / "config.json").write_text("{}"), "config.json more than once"),
        (lambda f: (f / "unet" / "config.json").write_bytes(bytes(2 << 20)), "larger than 1 MB"),
        (lambda f: [(f / f"{i}.txt").write_text("") for i in range(300)], "fewer than 200"),
    ],
)
def test_archives_that_are_refused(tmp_path, change, sentence):
    saved(tmp_path / "pipe", DDPMScheduler(num_train_timesteps=T))
    change(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=sentence), exchange.unpacked(zipped(tmp_path / "pipe"), "mine"):
        pass
