"""A folder of diffusers with any other values in its configurations is imported or refused in one sentence."""

from __future__ import annotations

import json
import shutil

import pytest
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from dpm_core.exchange import holds_diffusers, import_diffusers, unpacked
from tests.exchange.test_diffusers import saved, zipped
from tests.test_hostile_input import big, damaged, generated, json_values

FILES = ("unet/config.json", "scheduler/scheduler_config.json")


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipe") / "pipe"
    saved(folder, DDPMScheduler(num_train_timesteps=8), shape=(1, 8, 8), num_class_embeds=2)
    return folder


def refused(folder) -> None:
    """Import: a checkpoint, or one sentence."""
    try:
        import_diffusers(folder, "mine")
    except ValueError as error:
        assert str(error) and "\n" not in str(error) and "Traceback" not in str(error)


@generated
@given(st.sampled_from(FILES), st.data(), st.lists(json_values | big, min_size=1, max_size=3))
def test_other_values(pipe, file, data, values):
    """Huge sizes, other types, unknown words, new keys."""
    path = pipe / file
    before = path.read_text()
    config = json.loads(before)
    for value in values:
        config[data.draw(st.sampled_from(sorted(config)) | st.text(max_size=10))] = value
    path.write_text(json.dumps(config))
    try:
        refused(pipe)
    finally:
        path.write_text(before)


@generated
@given(st.sampled_from(FILES), damaged(b'{"_class_name": "UNet2DModel", "sample_size": 8}'))
def test_damaged_files(pipe, file, raw):
    path = pipe / file
    before = path.read_bytes()
    path.write_bytes(raw)
    try:
        refused(pipe)
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def archive(pipe, tmp_path_factory):
    copy = tmp_path_factory.mktemp("zip") / "pipe"
    shutil.copytree(pipe, copy)
    return zipped(copy)


@generated
@given(st.data())
def test_damaged_archives(archive, data):
    raw = data.draw(damaged(archive[:4096] + archive[-4096:]))
    holds_diffusers(raw)
    try:
        with unpacked(raw, "mine") as folder:
            refused(folder)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
