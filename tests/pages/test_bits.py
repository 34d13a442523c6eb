"""Bound, Likelihood and the schedule that learns: they open, their numbers are those of the core, what is not known is said."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.schedules import make_schedule
from pages.ui import cache
from pages.ui.bound import views
from pages.ui.kinds import menu
from pages.ui.kinds.images import bound as image_bound
from pages.ui.kinds.images import likelihood as image_likelihood
from pages.ui.kinds.points import measures
from pages.ui.kinds.points.source import PointSource
from pages.ui.kinds.records import BoundWords, Model
from pages.ui.schedule import joint, learned_schedule
from tests.pages.test_pages import APP, check


def open_page(path: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page(path).run())


def texts(app: AppTest) -> str:
    """All that the page says, its cards among it."""
    html = [node.proto.body for node in app.get("html")]
    return " ".join([*html, *(m.value for m in app.markdown), *(c.value for c in app.caption)])


def model(name: str) -> Model:
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()[name])
    loaded = checkpoints.load(name)
    return Model("", ref, PointSource(loaded.config.data.name, loaded.config.data.noise), loaded.config.schedule)


def test_the_bound_of_a_roll_and_its_parts():
    """The page's K is the budget's, and its waterfall ends at −h, each part beginning where the last one ended."""
    app = open_page("pages/bound.py", seed="7")
    found = measures.budget(model("swiss_roll_mlp"), measures.points(40), 7)
    assert f"{found.bound_bits:.2f} bits".replace("-", "−") in texts(app) and not app.error
    rows = views.budget_rows(found, True, BoundWords())
    words = {row["label"]: row["words"] for row in rows}
    assert words["ELBO K"].endswith(
        f"± {found.bound_error_bits:.2g}"
    ) and f"± {found.bound_error_bits:.2g}, of which learning gap" in texts(app)
    parts = {*views.PARTS.values(), BoundWords().discretisation}
    chain = [row for row in rows if row["start"] != row["end"] or row["label"] in parts]
    assert all(abs(a["end"] - b["start"]) < 1e-9 for a, b in pairwise(chain))
    assert abs(chain[0]["start"] - rows[0]["start"]) < 1e-9 and abs(chain[-1]["end"] - rows[-1]["start"]) < 0.01
    assert len(app.get("vega_lite_chart")) == 2 and "Table 1" in texts(app)


def test_no_network_is_the_best_there_is():
    app = open_page("pages/bound.py")
    check(app.selectbox(key="bits_of").set_value(menu.NO_NETWORK).run())
    check(app.number_input(key="T").set_value(2).run())
    assert "of which learning gap 0.000" in texts(app) and not app.error


def test_images_say_what_is_not_known():
    app = open_page("pages/bound.py")
    check(app.selectbox(key="bits_of").set_value("digits_unet").run())
    assert "The density of these images is unknown" in texts(app) and "per pixel" in texts(app)
    spread, error = (float(re.search(rf"± (0\.\d+), {of}", texts(app))[1]) for of in ("code length of a grey level", "per pixel"))
    assert spread == error > 0, "of bits per dimension and of K per pixel: digits have one channel"


def test_data_too_wide_break_the_upper_bound():
    app = open_page("pages/bound.py")
    assert "lies between the bounds at every step" in texts(app)
    check(app.select_slider(key="width").set_value(4.0).run())
    assert re.search(r"fails at \d+ of 39 steps", texts(app))


def test_the_likelihood_of_a_point():
    """ELBO ≤ Jarzynski, which is near the exact one; another point by its numbers; the link keeps it; far outside stays honest."""
    app = open_page("pages/likelihood.py", at="0.27,1.895", seed="7")
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["swiss_roll_mlp"])
    source = model("swiss_roll_mlp").source
    found = measures.estimates(ref, source, 0.27, 1.895, 7)
    assert f"{found.exact:.2f} nats".replace("-", "−") in texts(app)
    assert float(found.jarzynski.elbo[0]) < float(found.jarzynski.log_prob[0])
    assert abs(float(found.jarzynski.log_prob[0]) - found.exact) < 4 * float(found.jarzynski.standard_error[0]) + 0.02
    assert [row["N"] for row in found.jarzynski.curve()][-1] == measures.TRAJECTORIES
    check(app.number_input(key="x1_(0.27, 1.895)").set_value(0.5).run())
    assert app.session_state["at"] == (0.5, 1.895) and app.query_params["at"] in ("0.500,1.895", ["0.500,1.895"])
    far = open_page("pages/likelihood.py", at="90,90")
    assert not far.error and "−∞" not in texts(far) and re.search(r"−\d{4,}\.\d\d nats", texts(far))
    nonsense = open_page("pages/likelihood.py", at="here")
    assert not nonsense.error


@pytest.mark.parametrize("T", [5])
def test_a_schedule_is_learned_and_kept(T, monkeypatch):
    monkeypatch.setattr(learned_schedule, "STEPS", 60)
    app = open_page("pages/schedule.py", learned_T=str(T))
    assert "can be maximised by gradient ascent" in texts(app)
    check(app.button(key="learn_schedule").click().run())
    assert re.search(r"is higher than that of the best fixed one, Linear log-SNR, by \d\.\d{3} ± 0\.0\d+ bits per point", texts(app))
    check(app.button(key="keep_schedule").click().run())
    assert "custom" in app.session_state["schedules"]
    points = app.session_state["points"]
    kept = make_schedule("custom", T, points=points)
    (learned, _), *_ = app.session_state["learned_schedules"].values()
    assert float((kept.betas - learned.betas).abs().max()) < 1e-4, "five steps, five control points"
    assert learned_schedule.held_out(PointSource("swiss_roll"), kept).best_bits > max(
        one.best_bits for one in learned_schedule.fixed(PointSource("swiss_roll"), T).values()
    )


def test_a_schedule_is_called_better_only_where_the_difference_is_clear():
    """Compared with itself, nearly itself and a far worse one, at the same points."""
    source, start = PointSource("swiss_roll"), make_schedule("log_snr", 10)
    found = learned_schedule.held_out(source, start)
    assert "cannot be told apart: 0.000 ± 0" in learned_schedule._comparison(found, {"log_snr": found}, 10)
    worse = learned_schedule.held_out(source, make_schedule("linear", 10))
    assert "is higher than that of the best fixed one, Linear β, by" in learned_schedule._comparison(found, {"linear": worse}, 10)
    assert "is lower than that of Linear log-SNR by" in learned_schedule._comparison(worse, {"log_snr": found}, 10)


def test_train_takes_the_learned_schedule(monkeypatch):
    """On Train the schedule that was learned becomes that of the next run, its T as well."""
    monkeypatch.setattr(learned_schedule, "STEPS", 20)
    app = open_page("pages/train.py", data="moons", learned_T="10", T="40")
    check(app.button(key="learn_schedule").click().run())
    check(app.button(key="keep_schedule").click().run())
    assert app.session_state["schedule"] == "custom" and app.number_input(key="T").value == 10
    (learned, _), *_ = app.session_state["learned_schedules"].values()
    kept = make_schedule("custom", 10, points=app.session_state["points"])
    assert float((kept.betas - learned.betas).abs().max()) < 1e-3
    digits = open_page("pages/train.py", data="digits")
    assert not [button for button in digits.button if button.key == "learn_schedule"], "images have no kernel to learn it from"


def test_train_learns_schedule_and_network_together(monkeypatch):
    """The gain over both other ways is shown, and the schedule becomes that of the next run, every step of it."""
    monkeypatch.setattr(joint, "STEPS", 60)
    monkeypatch.setattr("dpm_core.training.schedule_comparison.ASCENT_STEPS", 5)
    app = open_page("pages/train.py", data="moons", joint_T="20", T="40")
    check(app.button(key="learn_both").click().run(timeout=90))
    shown = texts(app)
    assert "Gain of learning both" in shown and "Learned before the network" in shown
    check(app.button(key="keep_joint").click().run())
    assert app.session_state["schedule"] == "custom" and app.number_input(key="T").value == 20
    ((found),) = [found for key, found in joint._found().items() if key[0] == PointSource("moons")]
    kept = make_schedule("custom", 20, points=app.session_state["points"])
    assert float((kept.betas / found["joint"].schedule.betas - 1).abs().max()) < 0.01


def test_every_held_out_image_has_its_bits():
    """K of each image as it is and made wrong: shuffled ones are less likely, all of them, and the mean is what Bound says."""
    app = open_page("pages/likelihood.py", seed="7")
    check(app.selectbox(key="likelihood_of").set_value("digits_unet").run())
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["digits_unet"])
    own, shuffled = (image_likelihood.bounds(ref, way, 7) for way in ("Original", "Pixels shuffled"))
    assert (shuffled.bits < own.bits - own.errors).all()
    assert f"lower than the original for {len(own.bits)} of {len(own.bits)} images" in texts(app)
    estimate = image_bound.estimate_of_checkpoint(ref, 7)
    pixels = own.images[0].size
    spread = (own.bits.var() / len(own.bits) + (estimate.standard_error_bits / pixels) ** 2) ** 0.5
    assert abs(own.bits.mean() - estimate.bound_bits / pixels) < 4 * spread
    check(app.segmented_control(key="way").set_value("Pixels shuffled").run())
    assert not app.error and len(app.get("vega_lite_chart")) == 1


@pytest.mark.parametrize(
    "path, of",
    [
        ("bound", {}),
        ("bound", {"bits_of": "Exact kernel, no network"}),
        ("likelihood", {}),
        ("likelihood", {"likelihood_of": "digits_unet"}),
    ],
)
def test_snippets_run(path, of):
    """The Python that a page offers runs as it stands, and prints what the page shows."""
    app = open_page(f"pages/{path}.py", **of)
    done = subprocess.run([sys.executable, "-c", app.code[0].value], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if path == "bound":
        first = float(done.stdout.split()[0])
        assert f"{first:.2f} bits".replace("-", "−") in texts(app)
