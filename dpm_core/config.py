"""The description of a run: frozen, hashable, with a JSON round trip.

The same object is the key of every cache, the header of a checkpoint and the input of the command line. Values are checked
here, once; the error messages are for the person who typed them.
"""

from __future__ import annotations

import json
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar

Params = tuple[tuple[str, Any], ...]  # (name, value) pairs
VARIANCES = ("free", "capped")
OPTIMISERS = ("adam", "sfo")
SFO_LEAD = 500  # steps of Adam with which a run with the optimiser "sfo" begins
MAX_CLASSES = 1000


class SettingError(ValueError):
    """An environment variable DPM_… that cannot be used; the message is one sentence."""


class ConfigError(ValueError):
    """An invalid description. The message is one sentence."""


@dataclass(frozen=True)
class DataConfig:
    """A data set by name. ``noise`` is for points: a standard deviation in standardised units, the set's own where None. ``params``
    are for images and bits, for example the side of a crop, as (name, value) pairs."""

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
    """The forward process: "gaussian", or "binomial" for bits, whose noise is 1 with probability ``rate`` (ρ, its mean activity)."""

    kind: str = "gaussian"
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "binomial"):
            raise ConfigError(f"The diffusion must be 'gaussian' or 'binomial', not {self.kind!r}.")
        if not 0.001 <= self.rate <= 0.999:
            raise ConfigError(f"The mean activity ρ must lie between 0.001 and 0.999, not at {self.rate:g}.")


@dataclass(frozen=True)
class NetworkConfig:
    """A network by name and its parameters as (name, value) pairs.

    ``variance``: how its second output becomes Var(x⁽⁰⁾|x⁽ᵗ⁾), see :class:`dpm_core.reverse.ReverseModel`; without effect for bits.
    ``classes``: of the label y that the network is given beside x⁽ᵗ⁾ and t (a class-conditional model); 0 for a network without labels.
    For a classifier it is the number of classes that it tells apart.
    """

    name: str = "mlp"
    params: Params = ()
    variance: str = "free"
    classes: int = 0

    OF_OLDER_FILES: ClassVar[dict[str, Any]] = {"variance": "capped"}  # what they mean, as they do not have the field

    def __post_init__(self) -> None:
        if self.variance not in VARIANCES:
            raise ConfigError(f"The variance must be 'free' or 'capped', not {self.variance!r}.")
        if not 0 <= self.classes <= MAX_CLASSES:
            raise ConfigError(f"The number of classes must lie between 0 (no labels) and {MAX_CLASSES:,}, not at {self.classes}.")


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    ``loss``: "bound" (−K), "simple" (ε-loss), "flow" (flow matching); for classifiers "label" (cross entropy of y given x⁽ᵗ⁾),
    for autoencoders "elbo" (minus their bound).

    The learning rate rises over the first ``warmup`` steps and with ``decay`` "cosine" falls to 0 over ``steps``; "none" leaves it
    constant, for runs without a known end. ``precision`` of the network's computations: "float32" or "bfloat16" (weights and losses stay
    float32). ``label_dropout``: how often a class-conditional network sees no label, by which it also learns the unconditional kernel
    (Ho & Salimans 2021). ``annealing``: for autoencoders, the number of first steps over which the weight of the KL term rises from 0 to 1,
    without which latent dimensions collapse early (Bowman et al. 2016). ``optimiser``: "adam", or "sfo", which takes SFO_LEAD steps of Adam
    and then those of the sum-of-functions optimiser, see :class:`dpm_core.training.SumOfFunctionsTrainer`.
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
    label_dropout: float = 0.1
    annealing: int = 0
    optimiser: str = "adam"

    def __post_init__(self) -> None:
        if self.loss not in ("bound", "simple", "flow", "label", "elbo"):
            other = "(for classifiers) 'label' or (for autoencoders) 'elbo'"
            raise ConfigError(f"The loss must be 'bound', 'simple', 'flow', {other}, not {self.loss!r}.")
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"The optimiser must be 'adam' or 'sfo', not {self.optimiser!r}.")
        if self.optimiser == "sfo" and (self.loss in ("label", "elbo") or self.precision != "float32"):
            raise ConfigError(
                f"SFO is for the losses 'bound', 'simple' and 'flow' in float32, not for {self.loss!r} in {self.precision}; choose Adam."
            )
        if not 0 <= self.label_dropout <= 1:
            raise ConfigError(f"The label dropout must lie between 0 and 1, not at {self.label_dropout:g}.")
        if self.decay not in ("cosine", "none"):
            raise ConfigError(f"The decay must be 'cosine' or 'none', not {self.decay!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"The precision must be 'float32' or 'bfloat16', not {self.precision!r}.")
        if self.annealing < 0 or (self.annealing and self.loss != "elbo"):
            raise ConfigError(
                f"Annealing must be 0 steps or more, and is for the loss 'elbo' only, not {self.annealing} for {self.loss!r}."
            )
        if self.warmup < 0:
            raise ConfigError(f"The warm-up must be 0 steps or more, not {self.warmup}.")
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(f"Steps and batch must be at least 1, not {self.steps} and {self.batch}.")
        if not self.learning_rate > 0 or not 0 <= self.ema < 1 or not self.clip > 0:
            given = f"{self.learning_rate:g}, {self.clip:g} and {self.ema:g}"
            raise ConfigError(f"The learning rate and clip must be positive, and ema in [0, 1), not {given}.")

    def uses_rate(self, step: int) -> bool:
        """Whether step number ``step`` (from 1) has a learning rate."""
        return self.optimiser == "adam" or step <= SFO_LEAD


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a trained model."""

    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


# the usual run for images; RunConfig() is the one for points in the plane
IMAGE_RUN = RunConfig(
    DataConfig("digits"),
    ScheduleConfig("log_snr", 1000),
    NetworkConfig("unet", (("width", 16),)),
    TrainConfig(batch=64, learning_rate=4e-3, warmup=50),
)
# the usual run for bits: β_1 is tiny, because the step t = 1 is not learned and what it changes is lost
BIT_RUN = RunConfig(
    DataConfig("heartbeat"),
    ScheduleConfig("paper", 2000, (("beta_1", 1e-5),)),
    NetworkConfig("bit_mlp"),
    TrainConfig(batch=512, learning_rate=4e-3, warmup=50),
    DiffusionConfig("binomial"),
)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as a dict for JSON; pairs of parameters become objects."""
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
        raise ConfigError(f"A {cls.__name__} must be a JSON object, not {type(data).__name__}.")
    data = {**getattr(cls, "OF_OLDER_FILES", {}), **data}
    hints = typing.get_type_hints(cls)
    types = {f.name: hints[f.name] for f in fields(cls)}
    unknown = set(data) - set(types)
    if unknown:
        raise ConfigError(f"{cls.__name__} has no field {sorted(unknown)[0]!r}; its fields are {', '.join(types)}.")
    values = {}
    for name, value in data.items():
        kind = types[name]
        if isinstance(kind, type) and is_dataclass(kind):
            value = from_dict(kind, value)
        elif kind == Params:
            if not isinstance(value, dict):
                raise ConfigError(f"{cls.__name__}.{name} must be a JSON object, not {type(value).__name__}.")
            pairs = [(str(k), frozen(v)) for k, v in value.items()]
            for key, item in pairs:
                try:
                    hash(item)
                except TypeError:
                    raise ConfigError(f"{cls.__name__}.{name}.{key} cannot be an object; give a number, a word or a list.") from None
            value = tuple(sorted(pairs, key=lambda pair: pair[0]))
        else:
            value = _checked(cls.__name__, name, kind, value)
        values[name] = value
    return cls(**values)


def to_json(config: Any) -> str:
    """Indented JSON of a config."""
    return json.dumps(to_dict(config), indent=2)


def frozen(value: Any) -> Any:
    """``value`` with lists replaced by tuples at every depth, so that a config can be hashed."""
    return tuple(frozen(v) for v in value) if isinstance(value, (list, tuple)) else value


def _checked(owner: str, name: str, kind: Any, value: Any) -> Any:
    allowed = typing.get_args(kind) or (kind,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (isinstance(value, bool) and bool not in allowed) or not isinstance(value, allowed):
        wanted = " or ".join("null" if one is type(None) else one.__name__ for one in allowed)
        raise ConfigError(f"{owner}.{name} cannot be {value!r}; give {wanted}.")
    return value
