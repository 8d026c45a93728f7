"""From what the user named to what is done: one file in, one file out, and bad ones reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

from vqaudio.errors import VqaudioError

STDIO = Path("-")
"""Stands for standard input and output."""


class Job(NamedTuple):
    """One file to make out of another."""

    source: Path
    target: Path
    problem: str | None = None
    """Why it cannot be done, where that is known beforehand."""


def plan_jobs(
    inputs: Sequence[Path],
    out: Path | None,
    *,
    suffix: str,
    suffixes: Sequence[str],
    find: Callable[[Path], list[Path]],
) -> list[Job]:
    """Where the result for each input goes.

    A folder stands for the files that `find` finds below it; its tree is kept. Without `out`
    results lie beside their sources. `out` is a file when it has one of `suffixes` and there is
    one input, otherwise a folder.

    Raises VqaudioError when `out` cannot be what it must be.
    """
    if out is not None and not os.path.isdir(out) and (out == STDIO or out.suffix):
        if len(inputs) > 1 or os.path.isdir(inputs[0]):
            raise VqaudioError(f"{out} is one file, but several are to be written: give a folder")
        if out != STDIO and out.suffix.lower() not in suffixes:
            raise VqaudioError(
                f"{out} has an unknown suffix: it must be {' or '.join(suffixes)}; a folder "
                "with a dot in its name must exist"
            )
        return [Job(inputs[0], out)]
    jobs: list[Job] = []
    for source in inputs:
        jobs += _jobs_of(source, out, suffix, find)
    jobs = list(dict.fromkeys(jobs))
    taken: dict[str, Path] = {}
    for place, job in enumerate(jobs):
        other = taken.setdefault(os.path.abspath(job.target), job.source)
        if other != job.source and job.problem is None:
            problem = f"{job.target} would also be the result of {other}: rename one of the two"
            jobs[place] = job._replace(problem=problem)
    return jobs


def _jobs_of(
    source: Path, out: Path | None, suffix: str, find: Callable[[Path], list[Path]]
) -> list[Job]:
    if source == STDIO:
        return [Job(source, STDIO if out is None else out / f"stdin{suffix}")]
    if not os.path.isdir(source):
        return [Job(source, (out or source.parent) / f"{source.stem}{suffix}")]
    try:
        files = find(source)
    except VqaudioError as error:
        return [Job(source, out or source, str(error))]
    base = out or source
    return [Job(file, base / file.relative_to(source).with_suffix(suffix)) for file in files]


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], str], *, force: bool, verb: str) -> None:
    """Do all jobs; print the line that `work` returns for each, and report those that fail.

    A failed job stops no other; if any failed the exit code is 1. Existing files are left alone
    without `force`.
    """
    failed = 0
    console = Console(stderr=True)
    progress = Progress(
        console=console,
        disable=len(jobs) == 1 or not console.is_terminal,
        # Lines on a terminal go above the bar; lines to a file go to the file.
        redirect_stdout=sys.stdout.isatty(),
    )
    with progress:
        for job in progress.track(jobs, description=verb):
            try:
                if job.problem is not None:
                    raise VqaudioError(job.problem)
                refuse_to_overwrite(job.target, force=force)
                line = work(job)
            except VqaudioError as error:
                failed += 1
                report(error)
            else:
                # Standard output may be the result itself.
                note(line) if job.target == STDIO else say(line)
    if failed:
        if len(jobs) > 1:
            print(f"vqaudio: {failed} of {len(jobs)} files failed", file=sys.stderr)
        raise typer.Exit(1)


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Raises VqaudioError when something is at `path`, unless `force`."""
    if not force and path != STDIO and os.path.exists(path):
        raise VqaudioError(f"{path} exists: give another name, or --force to replace it")


def say(text: str) -> None:
    """A result, on standard output at once, so that a full disk or a closed pipe shows here."""
    print(text, flush=True)


def note(text: str) -> None:
    """A result where standard output is the result itself."""
    print(text, file=sys.stderr)


def report(error: VqaudioError) -> None:
    """One line on standard error."""
    print(f"vqaudio: {' '.join(str(error).split())}", file=sys.stderr)
