"""What a run tells: a line in the terminal, JSON lines, TensorBoard."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from vqaudio.files import atomic
from vqaudio.quantizers import CodebookUsage
from vqaudio.train.validation import Validation

logger = logging.getLogger(__name__)


def _reopen(path: Path, first: int) -> TextIO:
    """The log of the steps before `first`, open to go on with.

    What a killed run wrote after its last checkpoint comes anew, and would stand there twice.
    """
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        with atomic(path) as temporary:
            temporary.write_text(
                "".join(line for line in lines if _is_before(line, first)), "utf-8"
            )
    return path.open("a", encoding="utf-8")


def _is_before(line: str, first: int) -> bool:
    try:
        return bool(json.loads(line)["step"] < first)
    except json.JSONDecodeError:  # the last line, torn by a power cut
        return False


def _tensorboard(folder: Path, first: int) -> Any:
    """A SummaryWriter, or None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("no TensorBoard curves: pip install 'vqaudio[train]' to have them.")
        return None
    return SummaryWriter(str(folder), purge_step=first)


class RunLog:
    """Writes to `run`; a context manager. Steps count from 0."""

    def __init__(self, run: Path, *, steps: int, first: int, quiet: bool = False) -> None:
        # All processes of a joint run compute the same figures: one of them tells.
        self.file: TextIO = io.StringIO() if quiet else _reopen(run / "log.jsonl", first)
        self.board = None if quiet else _tensorboard(run / "tensorboard", first)
        self.console = Console(stderr=True, quiet=quiet)
        self.complained = False
        self.progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.progress.add_task("train", total=steps, completed=first, figures="")

    def __enter__(self) -> RunLog:
        self.progress.start()
        self._restart_clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()
        with self._surviving():
            self.file.close()
        if self.board is not None:
            with self._surviving():
                self.board.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what waits for data."""
        start = time.monotonic()
        yield
        self.waited += time.monotonic() - start

    def step(self, step: int, *, heard: float) -> None:
        """One more step is done, on so many seconds of sound."""
        self.heard += heard
        self.progress.update(self.task, completed=step + 1)

    def training(
        self,
        step: int,
        values: Mapping[str, Tensor | float],
        usage: Sequence[CodebookUsage],
        *,
        skipped: int,
    ) -> None:
        """A line of kind "train", with what holds since the line before: speed, share of waiting,
        use of the codebooks, steps that were skipped.

        The first value is the one that the progress bar shows.
        """
        # Only here does the run wait for the device.
        figures = {name: float(value) for name, value in values.items()}
        seconds = time.monotonic() - self.since
        speed = self.heard / seconds
        name, loss = next(iter(figures.items()))
        for level, book in enumerate(usage):
            figures[f"perplexity_{level}"] = book.perplexity
        figures |= {"audio_seconds_per_second": speed, "data_wait": self.waited / seconds}
        self.scalars(step, "train", {**figures, "skipped": skipped})
        self.progress.update(self.task, figures=f"{name} {loss:.3f}  {speed:.0f} audio s/s")
        if skipped:
            self.say(f"step {step}: {skipped} steps skipped, their gradients were no numbers")
        self._restart_clock()

    def validation(self, step: int, result: Validation, restarts: Tensor) -> None:
        """Lines of kind "validation" and "codebooks", and one sound before and after."""
        values = {"mel": result.mel, "mel_quarter_rate": result.mel_quarter_rate}
        self.scalars(step, "validation", values)
        self.say(
            f"step {step} validation: mel {result.mel:.4f}, with {result.quarter} of "
            f"{len(result.usage)} levels {result.mel_quarter_rate:.4f}"
        )
        self.health(step, result.usage, restarts)
        self.sound(step, "original", result.original, result.sample_rate)
        self.sound(step, "decoded", result.decoded, result.sample_rate)

    def _restart_clock(self) -> None:
        self.since = time.monotonic()
        self.waited = self.heard = 0.0

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of log.jsonl, and a curve `kind`/name for each value."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with self._surviving():
            self.file.write(json.dumps({"step": step, "kind": kind, **rounded}) + "\n")
            self.file.flush()
        if self.board is not None:
            with self._surviving():
                for name, value in values.items():
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """A disk that is full costs lines of the log, and not the run."""
        try:
            yield
        except OSError as error:
            if not self.complained:
                self.say(f"the log cannot be written ({error}): lines of it are missing.")
            self.complained = True

    def health(self, step: int, usage: Sequence[CodebookUsage], restarts: Tensor) -> None:
        """Used fraction, perplexity and restarts per level, all over the same tokens."""
        values: dict[str, float] = {"num_tokens": usage[0].num_tokens}
        for level, (book, count) in enumerate(zip(usage, restarts.tolist(), strict=True)):
            values |= {
                f"used_{level}": book.used,
                f"perplexity_{level}": book.perplexity,
                f"entropy_{level}": book.entropy,
                f"restarts_{level}": count,
            }
        self.scalars(step, "codebooks", values)
        levels = "  ".join(
            f"{100 * book.used:.0f}%/{book.perplexity:.0f}/{count}"
            for book, count in zip(usage, restarts.tolist(), strict=True)
        )
        self.say(
            f"step {step} codebooks, used/perplexity/restarts "
            f"({usage[0].num_tokens} tokens): {levels}"
        )

    def say(self, text: str) -> None:
        """A line above the progress bar, as it is: [x] in a path is no markup."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def sound(self, step: int, name: str, waveform: Tensor, sample_rate: int) -> None:
        """[1, S] to TensorBoard, to hear and to see."""
        if self.board is not None:
            sound = torch.clamp(waveform.float().cpu(), -1, 1)
            with self._surviving():
                self.board.add_audio(name, sound, step, sample_rate=sample_rate)
                self.board.add_image(name, _picture(sound), step)


def _picture(waveform: Tensor) -> Tensor:
    """[1, S] -> [1, F, T] from 0 (80 dB under full scale) to 1: spectrum over time, low at the
    bottom."""
    window = torch.hann_window(512)
    spectrum = torch.stft(waveform, 512, 128, window=window, return_complex=True).abs()
    decibel = 20 * (spectrum * (2 / window.sum())).clamp(min=1e-5).log10()
    return (1 + decibel / 80).clamp(0, 1).flip(1)
