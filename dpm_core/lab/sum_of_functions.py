"""The sum-of-functions optimiser: quasi-Newton steps from minibatches, without a step size (Sohl-Dickstein, Poole & Ganguli, ICML 2014).

The objective is a sum of subfunctions f_i, one for each minibatch (Eq. 1). For each a quadratic model is stored, whose Hessian is learned
by BFGS from the subfunction's own gradients. Every step moves to the minimum of the sum of all models (Eqs. 3 and 4), evaluates one
subfunction there, and replaces its model (Eq. 5). All vectors live in a subspace that the gradients span, which stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from dpm_core.lab.optimiser.subfunction_models import Models, Quadratic
from dpm_core.lab.optimiser.subspace import Subspace

START = 2  # subfunctions in use at the start
TRIAL = 1e-4  # length of the very first step, by which the first curvature is measured, relative to that of the parameters
LONGEST, EARLY = 10.0, 10  # after the first pass, and so many evaluations, no step is longer than so many times the mean of those before
SHORTEST = 1e-5  # share of a step that is taken after many failures
OUTLIER, KNOWN = 3.0, 3  # the first value of a subfunction fails if it is so many standard deviations above at least so many others
ROUNDING = 100.0  # times the rounding error of the parameters: a shorter step says nothing about curvature


class SFO:
    """Minimises Σ_i f_i over the parameters; a step evaluates one f_i and its gradient.

    ``params``: tensors that require gradients, changed in place, as for ``torch.optim``. ``closures``: for each subfunction a function
    without arguments that returns its loss, a scalar that depends on them; the losses are summed, and each must always be the same
    function: random numbers in it are drawn once. ``step()`` takes one step and returns the loss of the subfunction that it evaluated;
    ``evaluations`` counts these (a step that fails needs more than one), and len(closures) of them are an effective pass through the data.
    There are no hyperparameters to tune; thirty subfunctions or more are a good number. Memory: N·K² numbers for N subfunctions, where K is
    about 3 N, or 2 N + 22 for few subfunctions, unless there are fewer parameters. Computation inside is in float64. Raises ValueError
    without parameters or closures.

    >>> optimiser = SFO(model.parameters(), [lambda b=b: loss(model, b) for b in batches])
    >>> for _ in range(10 * len(batches)):
    ...     optimiser.step()
    """

    _TENSORS = ("x", "before", "active", "order")
    _NUMBERS = ("waiting", "since", "share", "travelled", "gain")

    def __init__(self, params: Iterable[Tensor], closures: Sequence[Callable[[], Tensor]], seed: int = 0):
        self._params = [p for p in params if p.requires_grad]
        self._closures = list(closures)
        if not self._params or not self._closures:
            raise ValueError("The optimiser needs at least one parameter that requires a gradient, and at least one closure.")
        self._generator = torch.Generator().manual_seed(seed)
        self._rounding = ROUNDING * max(torch.finfo(p.dtype).eps for p in self._params)
        origin = torch.cat([p.detach().flatten().double().cpu() for p in self._params])
        N = len(self._closures)
        self._space = Subspace(origin, 2 * N + 2)  # directions of all places and gradients, and of the present and the last position
        K = self._space.basis.shape[1]
        self._x, self._before, self._models = torch.zeros(K).double(), torch.zeros(K).double(), Models(N, K)
        self._order = torch.randperm(N, generator=self._generator)  # in which subfunctions come into use, from its end
        self._active, self._waiting = torch.zeros(N, dtype=torch.bool), N
        self._share, self._travelled, self._gain, self._since, self.evaluations = 1.0, 0.0, 0.0, 0, 0
        self.gradient_norm = 0.0  # of the subfunction that was evaluated last
        for _ in range(min(START, N)):
            self._use_another()

    @property
    def subspace(self) -> int:
        """Dimensions of the subspace."""
        return self._space.size

    @property
    def in_use(self) -> int:
        """Number of subfunctions that have come into use; all of them after a few passes."""
        return int(self._active.sum())

    def step(self) -> float:
        """Evaluate the next subfunction where the parameters are, and move them to the minimum of the sum of all models.

        Raises ValueError if the loss or its gradient is not finite, nor where the step before began; the parameters are then there.
        """
        i = self._choose()
        value, gradient = self._evaluate(i)
        self.gradient_norm = float(gradient.norm())
        failed = self._failed(i, value, gradient)
        if failed:
            value, gradient = self._retreat(i, value, gradient)
        else:
            self._share += (1 - self._share) / len(self._closures)
        self._remember(i, value, gradient)
        trial = TRIAL * max(1.0, float(self._space.origin.norm()))
        first = float(gradient.norm()) / trial or 1.0  # so curved that the first step has the length of the trial
        self._models.learn(i, max(self._space.size, 1), first)
        hessian = self._models.hessians.sum(0)
        self._move(hessian)
        self._grow(hessian, failed)
        return value

    def predicted(self, x: Tensor) -> float:
        """Return the sum of the models at parameters x ``[M]`` in the subspace: what the optimiser believes the objective to be."""
        at = self._space.basis.T @ (x.double() - self._space.origin)
        return sum(self._models.value(i, at) for i in self._models.known)

    def models(self) -> dict[int, Quadratic]:
        """Return the models of all subfunctions that have been evaluated, by number, in the space of the parameters. For few parameters."""
        return {i: self._models.quadratic(i, self._space) for i in self._models.known}

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all that the next step depends on, as tensors by name; with them another optimiser continues exactly."""
        state = {f"models.{name}": getattr(self._models, name) for name in Models.TENSORS}
        state |= {f"space.{name}": getattr(self._space, name) for name in Subspace.TENSORS}
        state |= {name: getattr(self, f"_{name}") for name in self._TENSORS}
        state |= {"generator": self._generator.get_state(), "counts": torch.tensor([self.evaluations, self._space.size])}
        state["numbers"] = torch.tensor([getattr(self, f"_{name}") for name in self._NUMBERS], dtype=torch.float64)
        return {name: tensor.clone() for name, tensor in state.items()}

    def accepts(self, state: dict[str, Tensor]) -> bool:
        """Whether a state is that of an optimiser of as many parameters and subfunctions."""
        return {k: (v.shape, v.dtype) for k, v in self.state_dict().items()} == {k: (v.shape, v.dtype) for k, v in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a :meth:`state_dict` of an optimiser of the same parameters and subfunctions, and set the parameters.

        Raises ValueError, and changes nothing, if the state belongs to another one.
        """
        if not self.accepts(state):
            raise ValueError("The state belongs to an optimiser of other parameters or subfunctions.")
        for owner, names, prefix in (
            (self._models, Models.TENSORS, "models."), (self._space, Subspace.TENSORS, "space."), (self, self._TENSORS, ""),
        ):  # fmt: skip
            for name in names:
                setattr(owner, name if prefix else f"_{name}", state[prefix + name].clone())
        for name, value in zip(self._NUMBERS, state["numbers"].tolist()):
            setattr(self, f"_{name}", type(getattr(self, f"_{name}"))(value))
        self.evaluations, self._space.size = state["counts"].tolist()
        self._generator.set_state(state["generator"])
        self._go(self._x)

    def _choose(self) -> int:
        """One that was evaluated once, so that it gets a Hessian; then a new one; then the one whose model was made farthest away.

        The distance is in the metric of its own Hessian or of the sum, with equal probability.
        """
        for times in (1, 0):
            due = torch.nonzero(self._active & (self._models.seen == times))
            if len(due):
                return int(due[0])
        own = bool(torch.rand((), generator=self._generator) < 0.5)
        return int(torch.where(self._active, self._models.distances(self._x, own), -1.0).argmax())

    def _failed(self, i: int, value: float, gradient: Tensor) -> bool:
        """Whether the last step was bad: the value is not finite, or has risen by more than the models predicted the others to fall."""
        models = self._models
        if not _finite(value, gradient):
            if self.evaluations == 1:
                raise ValueError("The loss or its gradient is not finite at the start; begin from other parameters.")
            return True
        if models.seen[i]:
            last, predicted = float(models.values[i]), models.value(i, self._x)
            return value > last and value - predicted > self._gain - (last - predicted)
        others = models.values[models.seen > 1]
        return len(others) >= KNOWN and value > float(others.mean() + OUTLIER * others.std(correction=0))

    def _retreat(self, i: int, value: float, gradient: Tensor) -> tuple[float, Tensor]:
        """Evaluate where the last step began, and go back there unless it is worse; the failure still teaches the curvature."""
        self._share = max(0.5 * self._share, SHORTEST)
        tried, models = self._x, self._models
        self._go(self._before)
        old, old_gradient = self._evaluate(i)
        if not _finite(old, old_gradient):
            raise ValueError("The loss or its gradient is not finite where it was finite before, or in a part of the sum that is new.")
        usual = abs(value - old) if _finite(value, gradient) else 0.0
        if models.seen[i]:
            usual = abs(models.value(i, tried) - float(models.values[i]))
        for _ in range(10):  # a value that exploded is no use for a quadratic model: much nearer
            if _finite(value, gradient) and value - old < 10 * max(usual, 1e-12):
                break
            tried = 0.99 * self._before + 0.01 * tried
            self._go(tried)
            value, gradient = self._evaluate(i)
        first, second = (tried, value, gradient), (self._before, old, old_gradient)
        if value < old:
            first, second = second, first
        if _finite(value, gradient):
            self._before = second[0]
            self._go(first[0])
            self._remember(i, *first[1:])
        self._go(self._before)  # the second, in coordinates that may have changed
        return second[1:]

    def _remember(self, i: int, value: float, gradient: Tensor) -> None:
        """Make the present position the place of model i."""
        if not self._space.contains(gradient):
            if self._space.full:
                self._reduce()
            self._space.add(gradient)
        shortest = self._rounding * float(self._space.position(self._x).norm())
        self._models.remember(i, self._x, value, self._space.basis.T @ gradient, shortest)

    def _move(self, hessian: Tensor) -> None:
        """To the minimum of the sum of all models, or a share of the way after failures, but not much farther than before."""
        step = -self._share * torch.linalg.solve(hessian, gradient := self._models.gradient(self._x))
        if self.evaluations > max(len(self._closures), EARLY):
            step = step * min(1.0, LONGEST * self._travelled / self.evaluations / max(float(step.norm()), 1e-300))
        self._gain = -float(gradient @ step + 0.5 * step @ hessian @ step)
        self._travelled += float(step.norm())
        self._before = self._x
        self._go(self._x + step)

    def _grow(self, hessian: Tensor, failed: bool) -> None:
        """Use another subfunction once the mean gradient of those in use is not larger than its standard error, or after a pass."""
        self._since += 1
        if not self._waiting or int(self._models.seen[self._active].min()) < 2:
            return
        used = self._models.gradients[self._active]
        n, mean = len(used), used.mean(0)
        errors = ((used - mean) * torch.linalg.solve(hessian, (used - mean).T).T).sum() / (n * max(n - 1, 1))
        if failed or float(errors) >= float(mean @ torch.linalg.solve(hessian, mean)) or self._since > n:
            self._use_another()

    def _use_another(self) -> None:
        self._waiting -= 1
        self._active[self._order[self._waiting]] = True
        self._since = 0

    def _reduce(self) -> None:
        """Reduce the subspace to what positions and last gradients span."""
        models = self._models
        into = self._space.reduce(
            torch.cat([self._x[None], self._before[None], models.places[models.known], models.gradients[models.known]])
        )
        self._x, self._before = self._x @ into, self._before @ into
        models.turn(into)

    def _evaluate(self, i: int) -> tuple[float, Tensor]:
        self.evaluations += 1
        loss = self._closures[i]()
        gradients = torch.autograd.grad(loss, self._params, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(self._params, gradients)]
        return float(loss.detach()), torch.cat([g.detach().flatten().double().cpu() for g in flat])

    @torch.no_grad()
    def _go(self, x: Tensor) -> None:
        """Set the parameters to coordinates x of the subspace."""
        self._x = x
        flat, at = self._space.position(x), 0
        for p in self._params:
            p.copy_(flat[at : at + p.numel()].view_as(p).to(p))
            at += p.numel()


def _finite(value: float, gradient: Tensor) -> bool:
    return abs(value) < float("inf") and bool(torch.isfinite(gradient).all())
