"""The commands that measure: evaluate, compare, usage."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqaudio.cli.jobs import refuse_to_overwrite, report, say
from vqaudio.cli.options import Device, DeviceOption, ForceOption
from vqaudio.errors import VqaudioError

if TYPE_CHECKING:
    from vqaudio.evaluate import Evaluation, Journal, Question

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Model file, run folder or name.")]
Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of recordings held out, or manifest.")
]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Repeatable; all that are installed without it."),
]
RecognizerOption = Annotated[
    str | None,
    typer.Option(
        "--recognizer",
        help="For word error rates: pocketsphinx, faster-whisper:NAME or hf:NAME.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--files", min=1, help="So many, spread evenly over DATA; all without it."),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes, each with one thread.")
]
BatchOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Recordings that a model encodes at once.")
]


def evaluate(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")] = Path("evaluation"),
    systems: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            help="In place of the usual ones beside the model; repeatable: opus@6000, ... or none.",
        ),
    ] = None,
    metrics: MetricsOption = None,
    recognizer: RecognizerOption = None,
    limit: LimitOption = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Recordings to listen to in the report.")
    ] = 3,
    batch_size: BatchOption = 1,
    workers: WorkersOption = 1,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Measure a model at several bitrates beside other codecs, and write a report."""
    from vqaudio.evaluate import Journal, Question
    from vqaudio.metrics.libraries import is_installed
    from vqaudio.report import choose_examples, lines, write_report
    from vqaudio.systems import STANDARD

    refuse_to_overwrite(out / "report.html", force=force)
    missing = [name for name in ("jinja2", "matplotlib") if not is_installed(name)]
    if missing:  # rather than when all is measured
        raise VqaudioError(f"the report needs {' and '.join(missing)}: pip install 'vqaudio[eval]'")
    question = Question(
        model=model,
        data=data,
        systems=tuple(name for name in systems if name != "none") if systems else STANDARD,
        metrics=tuple(metrics) if metrics else None,
        recognizer=recognizer,
        limit=limit,
        device=device.value,
        batch_size=batch_size,
        workers=workers,
    )
    journal = Journal(out)
    evaluation = _run(question, journal)
    chosen = choose_examples(evaluation, question, examples)
    write_report(evaluation, chosen, out)
    journal.remove()
    say("\n".join(lines(evaluation)))
    say(f"{out / 'report.html'}: tables, plots and {len(chosen)} recordings to listen to")
    tell_of_faults(evaluation.unreadable)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Model or codec, such as speech-16k@2000.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another, such as opus@6000.")],
    data: Data,
    metrics: MetricsOption = None,
    recognizer: RecognizerOption = None,
    limit: LimitOption = None,
    batch_size: BatchOption = 1,
    workers: WorkersOption = 1,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether A is really better than B: paired differences over the same recordings."""
    from vqaudio.evaluate import Question, difference_lines, differences

    question = Question(
        data=data,
        systems=(a, b),
        metrics=tuple(metrics) if metrics else None,
        recognizer=recognizer,
        limit=limit,
        device=device.value,
        batch_size=batch_size,
        workers=workers,
    )
    evaluation = _run(question, None)
    if as_json:
        found = [
            one.model_dump() | {"verdict": one.verdict} for one in differences(evaluation, a, b)
        ]
        left_out = [m.model_dump() for m in evaluation.metrics if m.status != "ok"]
        doubts = {row.name: row.reason for row in evaluation.systems if row.reason}
        say(json.dumps({"differences": found, "skipped": left_out, "suspicious": doubts}, indent=2))
    else:
        say("\n".join(difference_lines(evaluation, a, b)))
    tell_of_faults(evaluation.unreadable)


def usage(
    model: Model,
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", help="Picture: a .html, .svg or .png file.")
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    force: ForceOption = False,
) -> None:
    """Say how evenly a model's codes are used over a whole corpus, however large."""
    from vqaudio.evaluate import measure_usage, usage_lines

    if out is not None:
        refuse_to_overwrite(out, force=force)
    found = measure_usage(model, data, device=device.value, progress=track)
    if out is not None:
        from vqaudio.report import write_usage

        write_usage(found.levels, found.facts(), out)
    say(json.dumps(found.facts(), indent=2) if as_json else "\n".join(usage_lines(found)))
    tell_of_faults(found.unreadable)


def _run(question: Question, journal: Journal | None) -> Evaluation:
    from vqaudio.evaluate import evaluate as run

    command = shlex.join(["vqaudio", *sys.argv[1:]])
    return run(question, command=command, journal=journal, progress=track)


def track(measured: Iterable[Any], total: int) -> Iterable[Any]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(measured, "measure", total=total, console=console, disable=not console.is_terminal)


def tell_of_faults(unreadable: Mapping[str, str]) -> None:
    for name, fault in unreadable.items():
        report(VqaudioError(f"{name}: {fault}"))
