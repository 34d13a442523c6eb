"""The glossary: every entry is complete, its formula is LaTeX that closes what it opens, and the page finds and shows it."""

from __future__ import annotations

import re

import pytest

from pages.ui.lecture import glossary
from pages.ui.lecture.frame import symbols
from tests.pages.test_pages import check, open_page

ENTRIES = glossary.entries()
# the symbols and terms of the method that must not be missing
WANTED = (  # noqa: SIM905
    "x_t q p prior beta alpha alpha_bar T snr log_snr forward_kernel reverse_kernel trajectory posterior_q "
    "beta_tilde f_mu f_sigma f_b x0_hat elbo l_null negative_entropy kl bits entropy_bounds discretisation_gap "
    "learning_gap work dissipated_work free_energy jarzynski crooks quasi_static probability_flow ddim eta "
    "ancestral repaint jump resampling r r_t tilting total_variation sliced_w2 energy_distance parzen psnr ssim "
    "biharmonic ema learning_rate batch gradient_norm epsilon_loss cross_entropy drift contours information_left "
    "binomial_diffusion rho seed checkpoint "
).split()


def test_every_symbol_and_term_is_defined():
    assert not set(WANTED) - ENTRIES.keys()
    assert len({entry.term for entry in ENTRIES.values()}) == len(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_is_complete(name):
    entry = ENTRIES[name]
    assert entry.group and entry.term and entry.formula and entry.unit and entry.source
    assert entry.sentence.endswith(".") and entry.sentence.count(". ") == 0, "one sentence"
    assert 20 < len(entry.sentence) < 200
    assert re.search(r"Section|Eq\.|App\.|Table|not in the paper|the paper|not named", entry.source)
    for text in (entry.formula, f"${entry.symbol}$"):
        assert text.count("$") % 2 == 0
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert text.count(r"\left") - text.count(r"\leftarrow") == text.count(r"\right")


def test_symbols_stand_in_one_list_for_a_page():
    text = symbols(("beta", "ancestral"))
    assert text.splitlines()[0].startswith("- **Diffusion rate βₜ**: The variance")
    assert text.splitlines()[1].startswith("- **Ancestral sampling**: ")


@pytest.mark.parametrize(
    "change, words",
    [
        (("- Unit: none (a number)\n", ""), "lacks Unit"),
        (("- Unit: none (a number)", "- Size: none"), "unknown field Size"),
        (('<a id="jump">', '<a id="beta">'), "defines beta twice"),
        (("### Resamplings r\n", ""), "resampling needs a heading"),
    ],
)
def test_an_incomplete_entry_is_named(change, words):
    text = glossary.FILE.read_text(encoding="utf-8")
    assert change[0] in text
    if change[0] == "- Unit: none (a number)":
        text = text.replace("- Unit: none (a number)", "- Unit: none (a number)\n- Size: none")
    else:
        text = text.replace(*change)
    with pytest.raises(glossary.GlossaryError, match=words):
        glossary.parse(text)


def test_the_page_shows_all_entries_and_finds_some():
    app = check(open_page("glossary"))
    assert [heading.proto.anchor for heading in app.subheader] == list(ENTRIES)
    assert [heading.value for heading in app.header] == list(dict.fromkeys(entry.group for entry in ENTRIES.values()))
    app.text_input(key="q").set_value("JARZYNSKI eq.")
    check(app.run())
    assert "jarzynski" in [heading.proto.anchor for heading in app.subheader] and len(app.subheader) < 5
    app.text_input(key="q").set_value("no such term")
    check(app.run())
    assert not app.subheader and any("0 of" in caption.value for caption in app.caption)


def test_a_link_may_search():
    assert [e.name for e in ENTRIES.values() if e.matches("β_t")][:2] == ["binomial_diffusion", "beta"]
    assert len(check(open_page("glossary", q="RePaint")).subheader) >= 3


@pytest.mark.parametrize("name", ["forward", "bound", "denoise"])
def test_the_glossary_is_linked_from_every_page(name):
    links = [link.proto for link in check(open_page(name)).get("page_link")]
    assert any("Glossary" in link.label for link in links)
