"""Data sets in the plane: standardisation, density and entropy on grids, shapes against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpm_core.data import toy2d
from dpm_core.data.errors import DataError
from dpm_core.data.toy2d import DATASETS, NOISE_RANGE, SHAPES, SPACING, from_points, make_dataset
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

NAMES = list(SHAPES)
# as shipped, but for two sets of many points, which twice the noise makes a few times faster to integrate
SETS = {name: make_dataset(name, {"checkerboard": 0.12, "spirals": 0.08}.get(name)) for name in NAMES}


def density_on_grid(data, step):
    """p on a square grid that holds all of it: a product of Gaussians per axis, summed over points; float64."""
    points, weights = data.points.numpy(), data.weights.numpy()
    reach = np.abs(points).max() + 9 * data.noise
    axis = np.arange(-reach, reach + step, step)
    x, y = (np.exp(-((axis[:, None] - points[:, i]) ** 2) / (2 * data.noise**2)) for i in (0, 1))
    return axis, (x * weights) @ y.T / (2 * math.pi * data.noise**2)


def raw(data):
    """The points in the generator's own units."""
    return data.points.numpy() * data.scale + data.mean


def nearest(points, others):
    return torch.cdist(torch.as_tensor(points), torch.as_tensor(others)).min(1).values.numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.03, 0.2, 0.5, None])
def test_points_and_noise_together_are_standardised(name, noise):
    """Σ w = 1, Σ w y = 0 and Σ w y² + noise² = 1 in each coordinate, to rounding."""
    data = make_dataset(name, noise)
    w, y = data.weights, data.points
    assert float(w.sum()) == pytest.approx(1, abs=1e-12) and bool((w > 0).all())
    np.testing.assert_allclose(w @ y, 0, atol=1e-12)
    np.testing.assert_allclose(w @ y.square() + data.noise**2, 1, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_mean_0_and_variance_1(name, generator):
    """20,000 draws, 5 standard errors; the variance's error from the draws' own fourth moment."""
    n = 20_000
    x = SETS[name].sample(n, generator).double()
    assert bool((x.mean(0).abs() < 5 / math.sqrt(n)).all())
    assert bool(((x.square().mean(0) - 1).abs() < 5 * x.square().std(0) / math.sqrt(n)).all())


@pytest.mark.parametrize("name", NAMES)
def test_samples_come_from_the_density(name, generator):
    """Mean of log p over 10,000 draws = −h(q), within 5 standard errors; coordinates correlate as the points do."""
    data = SETS[name]
    x = data.sample(10_000, generator)
    log_p = data.log_prob(x).double()
    assert abs(float(log_p.mean()) + data.entropy()) < 5 * float(log_p.std()) / 100
    product = (x[:, 0] * x[:, 1]).double()
    wanted = float(data.weights @ data.points.prod(1))
    assert abs(float(product.mean()) - wanted) < 5 * float(product.std()) / 100


@pytest.mark.parametrize("name", NAMES)
def test_entropy_by_grid_quadrature(name):
    """−∫ p log p on a grid of a third of the noise, within 1e-4 nats; ∫ p = 1 to 1e-9 says that the grid suffices."""
    data = SETS[name]
    _, p = density_on_grid(data, data.noise / 3)
    area = (data.noise / 3) ** 2
    assert p.sum() * area == pytest.approx(1, abs=1e-9)
    q = p[p > 1e-300]
    assert -(q * np.log(q)).sum() * area == pytest.approx(data.entropy(), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_log_prob_is_a_density(name):
    """exp(log_prob) sums to 1 over a grid, to 1e-4, and equals Σ w N(x; y, noise²) summed directly, in float64 and float32."""
    data = SETS[name]
    step = 0.8 * data.noise
    axis, p = density_on_grid(data, step)
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    near = torch.from_numpy(p.ravel() > 1e-8)
    log_p = data.log_prob(grid[near])
    assert float(log_p.exp().sum()) * step**2 == pytest.approx(1, abs=1e-4)
    direct = torch.from_numpy(np.log(p.ravel()[near.numpy()]))
    torch.testing.assert_close(log_p, direct, rtol=0, atol=1e-7)
    some = grid[near][::37]
    torch.testing.assert_close(data.log_prob(some.float()).double(), data.log_prob(some.float().double()), rtol=0, atol=0.02)


def test_entropy_of_eight_distant_gaussians():
    """Neighbours are nine deviations apart: h = log 8 + log(2πe noise²), to 1e-4."""
    data = DATASETS["eight_gaussians"]
    assert data.entropy() == pytest.approx(math.log(8) + math.log(2 * math.pi * math.e * 0.12**2), abs=1e-4)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("eight_gaussians", "moons")])
@pytest.mark.parametrize("noise", [0.02, None, 0.5])
def test_neighbours_are_closer_than_the_stated_spacing(name, noise):
    data = make_dataset(name, noise)
    if len(data.points) < 6000:
        distance = torch.cdist(data.points, data.points).fill_diagonal_(math.inf)
        assert float(distance.min(1).values.max()) <= SPACING * data.noise * (1 + 1e-3)


@pytest.mark.parametrize(
    "name, arms, tolerance",
    [("swiss_roll", 1, 1e-5), ("s_curve", 1, 5e-5), ("circles", 2, 1e-5), ("spirals", 2, 1e-5), ("pinwheel", 5, 5e-5)],
)
def test_a_row_of_gaussians_is_a_curve(name, arms, tolerance):
    """Four times as many points change the density by less than 1e-5 of itself, within a deviation of a curve's middle half.

    (The pinwheel's radius is cut at 2.8 deviations and the S-curve's curvature jumps at its middle: 2e-5 each.)
    """
    data = make_dataset(name)
    shape = SHAPES[name][1]
    coarse, w, _ = shape(0.05)
    spread = np.sqrt((w[:, None] * (coarse - w @ coarse) ** 2).sum(0)).min()
    fine, w, _ = shape(SPACING * data.noise * spread / math.sqrt(1 - data.noise**2) / 4)
    fine = (fine - data.mean) / data.scale
    assert len(fine) > 3 * len(data.points)
    rows = np.concatenate([arm[len(arm) // 4 : -(len(arm) // 4)] for arm in np.array_split(np.arange(len(data.points)), arms)])
    draw = torch.Generator().manual_seed(0)
    offset = data.noise * torch.randn(len(rows), 2, generator=draw, dtype=torch.float64).clamp(-0.7, 0.7)
    x = data.points[rows] + offset

    def density(points, weights):
        return torch.exp(-torch.cdist(x, points).square() / (2 * data.noise**2)) @ weights

    wanted = density(torch.from_numpy(fine), torch.from_numpy(w / w.sum()))
    assert float((density(data.points, data.weights) / wanted - 1).abs().max()) < tolerance


@pytest.mark.parametrize("name, maker", [("swiss_roll", "make_swiss_roll"), ("s_curve", "make_s_curve")])
def test_rolls_are_scikit_learns(name, maker):
    """Every noise-free point of scikit-learn's lies within half a spacing of ours and the reverse; same mean and variance."""
    import sklearn.datasets

    n = 20_000
    theirs = getattr(sklearn.datasets, maker)(n, noise=0.0, random_state=0)[0][:, [0, 2]]
    data = DATASETS[name]
    standard = (theirs - data.mean) / data.scale
    assert nearest(standard, data.points).max() < 0.51 * SPACING * data.noise
    assert nearest(data.points, standard).max() < 0.25 * data.noise
    assert (np.abs(theirs.mean(0) - data.mean) < 5 * theirs.std(0) / math.sqrt(n)).all()
    square = (theirs - theirs.mean(0)) ** 2
    variance = np.square(data.scale) * (1 - data.noise**2)
    assert (np.abs(square.mean(0) - variance) < 5 * square.std(0) / math.sqrt(n) + 1e-3 * variance).all()


def test_circles_and_moons_lie_on_their_circles():
    """Half the mass at radius 1 and half at ½; half circles about (0, 0) and (1, ½), one up, one down."""
    data = DATASETS["circles"]
    radius = np.linalg.norm(raw(data), axis=1)
    outer = np.isclose(radius, 1, atol=1e-9)
    assert np.isclose(radius[~outer], 0.5, atol=1e-9).all()
    assert float(data.weights.numpy()[outer].sum()) == pytest.approx(0.5)
    data = DATASETS["moons"]
    points = raw(data)
    up = np.isclose(np.linalg.norm(points, axis=1), 1, atol=1e-9) & (points[:, 1] > -1e-9)
    down = np.isclose(np.linalg.norm(points - [1, 0.5], axis=1), 1, atol=1e-9) & (points[:, 1] < 0.5 + 1e-9)
    assert (up | down).all()
    assert float(data.weights.numpy()[up].sum()) == pytest.approx(0.5)


def test_eight_gaussians_sit_on_a_circle():
    points = raw(DATASETS["eight_gaussians"])
    angle = np.sort(np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi - 1e-9))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(np.diff(angle), np.pi / 4, atol=1e-8)


def test_pinwheel_arms_and_radius():
    """Angle 1.2 r + 2πk/5, five-fold symmetric; the radius has mean 1 and the variance of N(1, 0.3²) cut at 2.8 deviations."""
    data = DATASETS["pinwheel"]
    points, w = raw(data), data.weights.numpy()
    radius = np.linalg.norm(points, axis=1)
    turn = (np.arctan2(points[:, 1], points[:, 0]) - 1.2 * radius) / (2 * np.pi / 5)
    np.testing.assert_allclose(turn, turn.round(), atol=1e-9)
    np.testing.assert_allclose(np.bincount(turn.round().astype(int) % 5, w), 0.2, atol=1e-12)
    assert radius.min() > 1 - 0.84 and radius.max() < 1 + 0.84
    cut = 1 - 2 * 2.8 * math.exp(-(2.8**2) / 2) / math.sqrt(2 * math.pi) / math.erf(2.8 / math.sqrt(2))
    assert w @ radius == pytest.approx(1, abs=1e-6)
    assert w @ (radius - 1) ** 2 == pytest.approx(0.09 * cut, rel=2e-3)


def test_spirals_are_even_in_the_square_of_the_radius():
    """Angle 3π r on both arms; r² uniform on [0, 1]: E r² = 1/2, E r⁴ = 1/3; each arm the other turned by half."""
    data = DATASETS["spirals"]
    points, w = raw(data), data.weights.numpy()
    half = len(points) // 2
    np.testing.assert_allclose(points[:half], -points[half:], atol=1e-12)
    radius = np.linalg.norm(points[:half], axis=1)
    wanted = np.stack([-radius * np.cos(3 * np.pi * radius), radius * np.sin(3 * np.pi * radius)], 1)
    np.testing.assert_allclose(points[:half], wanted, atol=1e-9)
    assert 2 * w[:half] @ radius**2 == pytest.approx(1 / 2, rel=1e-4)
    assert 2 * w[:half] @ radius**4 == pytest.approx(1 / 3, rel=1e-4)


def test_checkerboard_is_even_over_the_dark_squares():
    """Only squares with i + j even, 1/8 of the mass in each, centred, with a midpoint grid's variance (1 − 1/c²)/12."""
    data = DATASETS["checkerboard"]
    points, w = raw(data), data.weights.numpy()
    corner = np.floor(points).astype(int)
    assert corner.min() == 0 and corner.max() == 3 and (corner.sum(1) % 2 == 0).all()
    square = corner @ [1, 4]
    count = math.isqrt(len(points) // 8)
    for number in np.unique(square):
        inside = square == number
        part = (points - corner)[inside]
        assert w[inside].sum() == pytest.approx(1 / 8)
        np.testing.assert_allclose(part.mean(0), 0.5, atol=1e-9)
        np.testing.assert_allclose(part.var(0), (1 - 1 / count**2) / 12, rtol=1e-9)
    assert len(np.unique(square)) == 8


@pytest.mark.parametrize("name", NAMES)
def test_exact_reverse_speaks_of_the_same_distribution(name):
    """Reverse moments at t and log_marginal agree by Tweedie: E[x⁽⁰⁾|x⁽ᵗ⁾] = (x⁽ᵗ⁾ + (1−ᾱ_t) ∇log q(x⁽ᵗ⁾))/√ᾱ_t, to 1e-6."""
    data = DATASETS[name]
    diffusion = GaussianDiffusion(make_schedule("log_snr", 10))
    kernel = data.exact_reverse(diffusion)
    x = data.sample(5, torch.Generator().manual_seed(0)).double()
    eps = 1e-4
    for t in (3, 6, 9):
        xt = diffusion.q_sample(x, t, torch.Generator().manual_seed(1))
        slope = torch.stack([(kernel.log_marginal(xt + e, t) - kernel.log_marginal(xt - e, t)) / (2 * eps) for e in eps * torch.eye(2)], 1)
        wanted = (xt + diffusion.schedule.noise(t) * slope) / diffusion.schedule.alpha_bar(t).sqrt()
        torch.testing.assert_close(
            kernel.x0_posterior(xt, t)[0], wanted, rtol=0, atol=1e-4 * float(1 / diffusion.schedule.alpha_bar(t).sqrt())
        )


def test_own_points_are_kept_standardised():
    """x = (raw − mean)/scale with scale² = var/(1 − noise²); equal weights; the first moments as for built-in sets."""
    given = np.array([[0.0, 10.0], [1.0, 30.0], [5.0, 20.0], [2.0, -20.0]])
    data = from_points(given, noise=0.3)
    np.testing.assert_allclose(data.mean, [2, 10])
    np.testing.assert_allclose(data.scale, np.sqrt([3.5 / 0.91, 350 / 0.91]))
    np.testing.assert_allclose(raw(data), given, atol=1e-9)
    np.testing.assert_allclose(data.weights, 0.25)
    np.testing.assert_allclose((data.points**2).mean(0) + 0.09, 1)
    assert from_points(given.tolist()).noise == 0.05
    far = from_points(given * 1e-8 + 1.0)  # tiny but real variation on a large offset
    torch.testing.assert_close(far.points, from_points(given).points, rtol=0, atol=1e-6)


def test_thinning_keeps_an_even_random_subset():
    """10,000 points become 4,000 of them, the same every time; their mean within 5 standard errors of all (drawn without return)."""
    given = np.random.default_rng(1).normal(size=(10_000, 2)) * [3, 0.2]
    given = given[given[:, 0].argsort()]  # a file sorted by its first column must not lose its end
    data, again = from_points(given), from_points(given)
    assert len(data.points) == toy2d.MAX_OWN_POINTS == 4000
    assert torch.equal(data.points, again.points)
    kept = {tuple(p) for p in raw(data).round(9)}
    assert len(kept) == 4000 and kept <= {tuple(p) for p in given.round(9)}
    error = given.std(0) * math.sqrt(0.6 / 4000)
    assert (np.abs(np.array(data.mean) - given.mean(0)) < 5 * error).all()
    assert len(from_points(given[:4000]).points) == 4000


@pytest.mark.parametrize(
    "points, word",
    [
        ([[1.0, 2.0]], "two points"),
        (np.zeros((0, 2)), "two points"),
        ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "two numeric columns"),
        ([1.0, 2.0, 3.0], "two numeric columns"),
        ([[1.0, 2.0], [math.nan, 3.0], [1.0, 1.0]], "not finite"),
        ([[1.0, 2.0], [math.inf, 3.0]], "not finite"),
        ([[1.0, 2.0], [1.0, 3.0]], "vary"),
        ([[1.0, 2.0], [4.0, 2.0]], "vary"),
        ([[1.0, 2.0], [1.0, 2.0]], "vary"),
        ([[1e200, 2.0], [-1e200, 3.0]], "vary"),
    ],
)
def test_unusable_points_are_refused_in_one_sentence(points, word):
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(DataError) as caught:
        from_points(points)
    message = str(caught.value)
    assert word in message and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("noise", [0.0, -0.1, 0.009, 0.51, 1.0, 2.0, math.nan])
def test_own_points_take_the_same_noise_as_all(noise):
    with pytest.raises(DataError, match="noise"):
        from_points([[0.0, 1.0], [1.0, 0.0]], noise=noise)


def test_unknown_names_and_noise_out_of_range_are_refused():
    assert NOISE_RANGE == (0.01, 0.5)
    for name, noise in (("doughnut", None), ("moons", 0.009), ("moons", 0.51), ("moons", math.nan), ("moons", -0.1), ("moons", 0)):
        with pytest.raises(DataError, match=r"\.$"):
            make_dataset(name, noise)
    with pytest.raises(KeyError):
        DATASETS["doughnut"]
    assert list(DATASETS) == NAMES and len(DATASETS) == len(NAMES)


def test_the_same_seed_gives_the_same_data():
    data = DATASETS["moons"]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = data.sample(50, torch.Generator().manual_seed(1))
    built = make_dataset("pinwheel", 0.2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(first, data.sample(50, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, data.sample(50, torch.Generator().manual_seed(2)))
    assert torch.equal(built.points, make_dataset("pinwheel", 0.2).points)
