"""One description of a run: frozen, hashable, with a JSON round trip.

The same object is the key of every cache, the header of a checkpoint and the input of the command
line. Numbers are checked here, once; sentences are written for the person who typed them.
"""

from __future__ import annotations

import json
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

Params = tuple[tuple[str, Any], ...]


class ConfigError(ValueError):
    """A description that makes no sense, in one sentence."""


@dataclass(frozen=True)
class DataConfig:
    """A data set by name. In the plane ``noise`` (standard deviation, standardised units) is the set's default unless
    given; images take ``params``, for example the side of a crop, as (name, value) pairs."""

    name: str = "swiss_roll"
    noise: float | None = None
    params: Params = ()


@dataclass(frozen=True)
class ScheduleConfig:
    """A schedule by name, its number of steps T and its parameters as (name, value) pairs."""

    name: str = "log_snr"
    T: int = 40
    params: Params = ()


@dataclass(frozen=True)
class DiffusionConfig:
    """Which diffusion: "gaussian", or "binomial" of bits, whose noise has the mean activity ``rate`` (ρ)."""

    kind: str = "gaussian"
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "binomial"):
            raise ConfigError(f"The diffusion must be 'gaussian' or 'binomial', not {self.kind!r}.")
        if not 0.001 <= self.rate <= 0.999:
            raise ConfigError(f"The mean activity ρ must lie above 0 and below 1, from 0.001 to 0.999, not at {self.rate:g}.")


@dataclass(frozen=True)
class NetworkConfig:
    """A network by name and its parameters as (name, value) pairs."""

    name: str = "mlp"
    params: Params = ()


@dataclass(frozen=True)
class TrainConfig:
    """How to train. ``loss``: "bound" (−K) or "simple" (ε-loss). The learning rate rises over the first ``warmup`` steps
    and by ``decay`` "cosine" falls to 0 over ``steps``; "none" keeps it, for runs whose end is not known.
    ``precision``: what the network computes in, "float32" or "bfloat16" (weights and losses stay float32).
    """

    loss: str = "bound"
    steps: int = 4000
    batch: int = 512
    learning_rate: float = 1e-2
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    warmup: int = 0
    decay: str = "cosine"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.loss not in ("bound", "simple"):
            raise ConfigError(f"The loss must be 'bound' or 'simple', not {self.loss!r}.")
        if self.decay not in ("cosine", "none"):
            raise ConfigError(f"The decay must be 'cosine' or 'none', not {self.decay!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"The precision must be 'float32' or 'bfloat16', not {self.precision!r}.")
        if self.warmup < 0:
            raise ConfigError("The warm-up must not be negative.")
        if self.steps < 1 or self.batch < 1:
            raise ConfigError("Steps and batch must be at least 1.")
        if not self.learning_rate > 0 or not 0 <= self.ema < 1 or not self.clip > 0:
            raise ConfigError("The learning rate and clip must be positive, and ema in [0, 1).")


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a trained model."""

    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


# what suits images, where nothing else is asked for; RunConfig() is what suits points in the plane
IMAGE_RUN = RunConfig(
    DataConfig("digits"),
    ScheduleConfig("log_snr", 1000),
    NetworkConfig("unet", (("width", 16),)),
    TrainConfig(batch=64, learning_rate=4e-3, warmup=50),
)
# what suits bits: the first step, which is never learned, is nearly none, as all that it changes is lost
BIT_RUN = RunConfig(
    DataConfig("heartbeat"),
    ScheduleConfig("paper", 2000, (("beta_1", 1e-5),)),
    NetworkConfig("bit_mlp"),
    TrainConfig(batch=512, learning_rate=4e-3, warmup=50),
    DiffusionConfig("binomial"),
)


def to_dict(config: Any) -> dict[str, Any]:
    """A JSON-ready dict; parameter pairs become objects."""
    out = asdict(config)
    for key in list(out):
        value = getattr(config, key)
        if is_dataclass(value):
            out[key] = to_dict(value)
        elif key == "params":
            out[key] = dict(value)
    return out


def from_dict(cls: type, data: Any) -> Any:
    """Rebuild a config of type ``cls``. Raises ConfigError for unknown fields and wrong types."""
    if not isinstance(data, dict):
        raise ConfigError(f"A {cls.__name__} must be an object, not {type(data).__name__}.")
    types = typing.get_type_hints(cls)
    unknown = set(data) - {f.name for f in fields(cls)}
    if unknown:
        raise ConfigError(f"{cls.__name__} has no field {sorted(unknown)[0]!r}.")
    values = {}
    for name, value in data.items():
        kind = types[name]
        if isinstance(kind, type) and is_dataclass(kind):
            value = from_dict(kind, value)
        elif kind == Params:
            if not isinstance(value, dict):
                raise ConfigError(f"{cls.__name__}.{name} must be an object.")
            pairs = [(str(k), frozen(v)) for k, v in value.items()]
            for key, item in pairs:
                try:
                    hash(item)
                except TypeError:
                    raise ConfigError(f"{cls.__name__}.{name}.{key} cannot be an object.") from None
            value = tuple(sorted(pairs, key=lambda pair: pair[0]))
        else:
            value = _checked(cls.__name__, name, kind, value)
        values[name] = value
    return cls(**values)


def to_json(config: Any) -> str:
    """Readable JSON of a config."""
    return json.dumps(to_dict(config), indent=2)


def frozen(value: Any) -> Any:
    """Lists made tuples, all the way down, so that a config can be hashed."""
    return tuple(frozen(v) for v in value) if isinstance(value, (list, tuple)) else value


def _checked(owner: str, name: str, kind: Any, value: Any) -> Any:
    allowed = typing.get_args(kind) or (kind,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (isinstance(value, bool) and bool not in allowed) or not isinstance(value, allowed):
        raise ConfigError(f"{owner}.{name} cannot be {value!r}.")
    return value
