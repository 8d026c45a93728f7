"""Pictures by matplotlib: the same figure gives the same bytes, and none touches pyplot.

A picture is a file of its own, or a part of a page, in whose colours it is then shown.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqaudio.errors import VqaudioError
from vqaudio.files import atomic
from vqaudio.report.colours import GRID, INK, MUTED, PROPERTIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the font of the page
    "svg.hashsalt": "vqaudio",  # ids without chance
    "text.parse_math": False,  # a name may hold a dollar
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK.light,
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": MUTED.light,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID.light,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
PICTURES = (".svg", ".png")
PNG_DPI = 200


@contextmanager
def drawing() -> Iterator[None]:
    """Within it figures are made and saved. Raises VqaudioError when matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        raise VqaudioError("The report needs matplotlib: pip install 'vqaudio[eval]'.") from None
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # Letters that the bundled font lacks: a browser has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_picture(width: float, height: float) -> Picture:
    """Inches; transparent."""
    from matplotlib.figure import Figure as Picture

    return Picture((width, height), layout="constrained", facecolor="none")


def to_svg(picture: Picture, titles: Mapping[str, str] | None = None) -> str:
    """A file of its own. `titles`: what is shown when the pointer rests on an artist, by its gid.

    Of what is drawn outside of `drawing` ids and fonts are not these.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    # Not savefig, which draws twice.
    canvas: Any = FigureCanvasSVG(picture)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    for gid, title in (titles or {}).items():
        svg = svg.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(title)}</title>', 1)
    return svg


def to_inline(svg: str, *, prefix: str, label: str) -> str:
    """A part of a page: ids under `prefix`, the page's colours and font, a name for listeners."""
    svg = svg[svg.index("<svg") :]
    # Its rules would hold for the whole page, whose own say the same of pictures.
    svg = re.sub(r"\s*<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*</defs>", "", svg).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda at: at[0] if at[1] in used else "", svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for name, colour in PROPERTIES.items():
        svg = svg.replace(colour.light, f"var({name})")
    svg = svg.replace("'DejaVu Sans'", "var(--font)")
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None, "matplotlib writes a viewBox"
    return f'<svg role="img" aria-label="{escape(label)}" {box[0]}>' + svg[svg.index(">") + 1 :]


def write_picture(picture: Picture, path: Path, titles: Mapping[str, str] | None = None) -> None:
    """On white, as .svg or .png. Raises VqaudioError for another suffix or a bad place."""
    suffix = path.suffix.lower()
    if suffix not in PICTURES:
        raise VqaudioError(f"cannot write {path}: a picture is {' or '.join(PICTURES)}")
    picture.set_facecolor("white")
    with atomic(path) as temporary:
        if suffix == ".svg":
            temporary.write_text(to_svg(picture, titles), encoding="utf-8", newline="\n")
        else:
            picture.savefig(temporary, format="png", dpi=PNG_DPI, metadata={"Software": None})
