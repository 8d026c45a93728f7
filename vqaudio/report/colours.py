"""Colours, twice each: for a light page and for a dark one.

Pictures are drawn in the light ones. Within a page each becomes a CSS property that the reader's
colour scheme sets, so that a plot is never a white card on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Colour(NamedTuple):
    """Six hexadecimal digits each, as CSS writes them."""

    light: str
    dark: str


INK = Colour("#1c2026", "#e6e8eb")
MUTED = Colour("#5d6570", "#a0a7b1")
GRID = Colour("#e3e5e9", "#31363e")
PAPER = Colour("#fefefe", "#16191d")
"""Behind plots, and inside hollow markers."""
OWN = Colour("#c2400b", "#ff8a4c")
"""Of the model that is evaluated, and of nothing else."""
OTHERS = (
    Colour("#0067a6", "#5ab4ea"),
    Colour("#00755a", "#2fc298"),
    Colour("#9b3f8a", "#df8fd0"),
    Colour("#836300", "#d8b13b"),
    Colour("#4a55b5", "#9aa5f5"),
    Colour("#57606b", "#b3bac4"),
)
"""At least 4.5 : 1 against the page. Colour alone tells nothing: each family has a marker too."""
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
"""Seven markers and six colours: 42 families before a pair comes again."""
OWN_MARKER = "o"

PROPERTIES = {
    "--ink": INK,
    "--muted": MUTED,
    "--grid": GRID,
    "--paper": PAPER,
    "--own": OWN,
    **{f"--other-{place}": colour for place, colour in enumerate(OTHERS, start=1)},
}


class Style(NamedTuple):
    """How a family looks in every plot."""

    colour: str
    marker: str
    own: bool


def styles(families: Sequence[str], own: str | None) -> dict[str, Style]:
    """A look for each family; the evaluated model's stands out."""
    found: dict[str, Style] = {}
    place = 0
    for family in families:
        if family == own:
            found[family] = Style(OWN.light, OWN_MARKER, own=True)
        else:
            colour = OTHERS[place % len(OTHERS)].light
            found[family] = Style(colour, MARKERS[place % len(MARKERS)], own=False)
            place += 1
    return found
