"""The files of a report, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vqaudio.errors import VqaudioError
from vqaudio.evaluate.results import FORMAT_VERSION, Evaluation, LevelUsage
from vqaudio.files import atomic
from vqaudio.report.examples import Example
from vqaudio.report.page import report_page, usage_page
from vqaudio.report.plots import rank_frequency, rate_distortion
from vqaudio.report.svg import PICTURES, drawing, write_picture
from vqaudio.report.tables import files_csv, metric_of


def write_report(evaluation: Evaluation, examples: Sequence[Example], out: Path) -> None:
    """Writes report.html, report.json and files.csv into the folder `out`.

    The page needs no other file and no network. The same evaluation and examples give the same
    bytes.

    Raises VqaudioError when matplotlib or jinja2 is missing, or `out` cannot be written.
    """
    _write(out / "report.json", evaluation.model_dump_json(indent=2) + "\n")
    _write(out / "files.csv", files_csv(evaluation))
    _write(out / "report.html", report_page(evaluation, examples))


def read_evaluation(path: Path) -> Evaluation:
    """What `write_report` wrote as report.json. Raises VqaudioError when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise VqaudioError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VqaudioError(f"{path} is no evaluation: it is not text; name a report.json") from None
    try:
        evaluation = Evaluation.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        where = f"{place}: {first['msg']}" if place else first["msg"]
        raise VqaudioError(f"{path} is no evaluation ({where}): name a report.json") from None
    if evaluation.format_version != FORMAT_VERSION:
        raise VqaudioError(
            f"{path} has format version {evaluation.format_version}, this vqaudio reads "
            f"{FORMAT_VERSION}: use the one that wrote it"
        )
    return evaluation


def write_usage(levels: Sequence[LevelUsage], facts: Mapping[str, Any], out: Path) -> None:
    """Writes how evenly codebooks are used: a page (.html) with `facts`, or a picture (.svg, .png).

    Raises VqaudioError for another suffix, a missing matplotlib or jinja2, or a bad place.
    """
    if out.suffix.lower() == ".html":
        _write(out, usage_page(levels, facts))
    elif out.suffix.lower() in PICTURES:
        with drawing():
            write_picture(rank_frequency(levels, alone=True), out)
    else:
        raise VqaudioError(f"cannot write {out}: give it the suffix .html, .svg or .png")


def rate_distortion_picture(evaluation: Evaluation, metric: str, path: Path) -> None:
    """Writes one plot as .svg or .png, for a README.

    Raises VqaudioError for a metric that there is not, another suffix, a missing matplotlib.
    """
    found = metric_of(evaluation, metric)
    with drawing():
        plot = rate_distortion(evaluation, found, alone=True)
        write_picture(plot.picture, path, plot.titles)


def _write(path: Path, text: str) -> None:
    # A name may hold bytes that are no text.
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
