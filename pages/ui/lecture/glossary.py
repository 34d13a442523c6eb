"""The glossary, read once from docs/glossary.md: groups of entries with symbol, term, sentence, formula, unit and source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[3] / "docs" / "glossary.md"
FIELDS = ("Symbol", "Formula", "Unit", "Source")


class GlossaryError(ValueError):
    """What is wrong with an entry of the glossary, in one sentence."""


@dataclass(frozen=True)
class Entry:
    """One term. ``symbol`` is LaTeX, "" where the term has none; ``formula``, ``unit`` and ``source`` are Markdown."""

    name: str
    term: str
    group: str
    sentence: str
    formula: str
    unit: str
    source: str
    symbol: str = ""

    def matches(self, words: str) -> bool:
        """Whether every word occurs in the entry, in any case; β_t is the same as βₜ."""
        text = " ".join((self.name, self.term, self.group, self.sentence, self.symbol, self.formula, self.source)).casefold()
        return all(word in text for word in words.casefold().replace("_t", "ₜ").split())


@cache
def entries() -> dict[str, Entry]:
    """Every entry by its name, the anchor in the file and on the page, in the order of the file. Raises GlossaryError."""
    return {entry.name: entry for entry in parse(FILE.read_text(encoding="utf-8"))}


def parse(text: str) -> list[Entry]:
    """The entries of a glossary in Markdown: ``## group``, then for each an anchor, ``### term``, a sentence and a list of FIELDS."""
    found = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        group, _, rest = part.partition("\n")
        anchors = re.split(r'^<a id="(\w+)"></a>\s*\n', rest, flags=re.MULTILINE)
        found += [_entry(name, group.strip(), body) for name, body in zip(anchors[1::2], anchors[2::2])]
    names = [entry.name for entry in found]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise GlossaryError(f"The glossary defines {', '.join(sorted(repeated))} twice.")
    return found


def _entry(name: str, group: str, body: str) -> Entry:
    match = re.fullmatch(r"### (.+?)\n\n(.+?)\n\n((?:- .+\n?)+)\s*", body, flags=re.DOTALL)
    if match is None:
        raise GlossaryError(f"The entry {name} needs a heading, one sentence and a list of {', '.join(FIELDS)}.")
    term, sentence, rows = match.groups()
    fields = dict(row.removeprefix("- ").split(": ", 1) for row in rows.splitlines() if row)
    if missing := {*FIELDS[1:]} - fields.keys():
        raise GlossaryError(f"The entry {name} lacks {', '.join(sorted(missing))}.")
    if unknown := fields.keys() - {*FIELDS}:
        raise GlossaryError(f"The entry {name} has the unknown field {', '.join(sorted(unknown))}.")
    symbol = fields.get("Symbol", "").strip("$")
    return Entry(name, term, group, " ".join(sentence.split()), fields["Formula"], fields["Unit"], fields["Source"], symbol)
