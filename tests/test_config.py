"""Configs: what goes in comes out of JSON, and nothing else gets in."""

from __future__ import annotations

import json

import pytest

from dpm_core.config import ConfigError, DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig, from_dict, to_dict, to_json

FULL = RunConfig(
    DataConfig("moons", 0.07),
    ScheduleConfig("custom", 12, (("points", ((0.0, 1e-3), (0.5, 0.25), (1.0, 1.0))),)),
    NetworkConfig("mlp", (("depth", 2), ("frequency", 1.5), ("width", 32))),
    TrainConfig("simple", 7, 33, 1 / 3, 0.9, 2.5, 11),
)


@pytest.mark.parametrize("config", [FULL, RunConfig(), RunConfig(data=DataConfig("own", None)), FULL.schedule, FULL.training])
def test_json_round_trip(config):
    """Equal and of equal hash after a trip through text, so it can be a cache's key."""
    back = from_dict(type(config), json.loads(to_json(config)))
    assert back == config and hash(back) == hash(config)


def test_json_is_plain_and_complete():
    """Parameters are objects; every number as given."""
    assert json.loads(to_json(FULL)) == {
        "data": {"name": "moons", "noise": 0.07, "params": {}},
        "schedule": {"name": "custom", "T": 12, "params": {"points": [[0.0, 1e-3], [0.5, 0.25], [1.0, 1.0]]}},
        "network": {"name": "mlp", "params": {"depth": 2, "frequency": 1.5, "width": 32}, "variance": "free", "classes": 0},
        "training": {"loss": "simple", "steps": 7, "batch": 33, "learning_rate": 1 / 3, "ema": 0.9, "clip": 2.5, "seed": 11}
        | {"warmup": 0, "decay": "cosine", "precision": "float32", "label_dropout": 0.1, "annealing": 0, "optimiser": "adam"},
        "diffusion": {"kind": "gaussian", "rate": 0.5},
    }
    assert json.loads(json.dumps(to_dict(FULL))) == json.loads(to_json(FULL))


def test_missing_fields_take_defaults_and_the_order_of_parameters_does_not_matter():
    assert from_dict(RunConfig, {}) == RunConfig()
    assert from_dict(RunConfig, {"schedule": {"T": 9}}) == RunConfig(schedule=ScheduleConfig(T=9))
    a = from_dict(NetworkConfig, {"params": {"width": 8, "depth": 1}})
    assert a == from_dict(NetworkConfig, {"params": {"depth": 1, "width": 8}})
    assert dict(a.params) == {"width": 8, "depth": 1}
    assert a.variance == "capped", "networks described before the field was introduced had this form"
    one = from_dict(TrainConfig, {"learning_rate": 1, "clip": 2})  # whole numbers are numbers
    assert one.learning_rate == 1.0 and isinstance(one.learning_rate, float)


@pytest.mark.parametrize(
    "cls, data, named",
    [
        (RunConfig, [], "RunConfig"),
        (RunConfig, "text", "RunConfig"),
        (RunConfig, None, "RunConfig"),
        (RunConfig, {"seed": 1}, "seed"),
        (RunConfig, {"data": "moons"}, "DataConfig"),
        (RunConfig, {"data": {"nose": 0.1}}, "nose"),
        (RunConfig, {"schedule": {"t": 4}}, "'t'"),
        (DataConfig, {"noise": "0.1"}, "noise"),
        (DataConfig, {"noise": True}, "noise"),
        (DataConfig, {"name": None}, "name"),
        (DataConfig, {"name": 3}, "name"),
        (ScheduleConfig, {"T": 40.0}, "T"),
        (ScheduleConfig, {"T": "40"}, "T"),
        (ScheduleConfig, {"T": True}, "T"),
        (ScheduleConfig, {"T": None}, "T"),
        (ScheduleConfig, {"params": [["beta_1", 0.1]]}, "params"),
        (NetworkConfig, {"params": 3}, "params"),
        (NetworkConfig, {"variance": "none"}, "variance"),
        (TrainConfig, {"steps": 4.5}, "steps"),
        (TrainConfig, {"steps": 0}, "Steps"),
        (TrainConfig, {"steps": -1}, "Steps"),
        (TrainConfig, {"batch": 0}, "batch"),
        (TrainConfig, {"loss": "hinge"}, "loss"),
        (TrainConfig, {"loss": 1}, "loss"),
        (TrainConfig, {"learning_rate": 0}, "learning rate"),
        (TrainConfig, {"learning_rate": -1e-3}, "learning rate"),
        (TrainConfig, {"learning_rate": float("nan")}, "learning rate"),
        (TrainConfig, {"learning_rate": "fast"}, "learning_rate"),
        (TrainConfig, {"ema": 1.0}, "ema"),
        (TrainConfig, {"ema": -0.1}, "ema"),
        (TrainConfig, {"clip": 0}, "clip"),
        (TrainConfig, {"optimiser": "sgd"}, "optimiser"),
        (TrainConfig, {"optimiser": "sfo", "loss": "label"}, "SFO"),
        (TrainConfig, {"optimiser": "sfo", "precision": "bfloat16"}, "SFO"),
        (TrainConfig, {"seed": 0.5}, "seed"),
    ],
)
def test_anything_odd_is_refused_in_one_sentence_that_names_it(cls, data, named):
    with pytest.raises(ConfigError) as caught:
        from_dict(cls, data)
    message = str(caught.value)
    assert named in message and message.endswith(".") and "\n" not in message
