"""What a run tells: a line in the terminal, JSON lines, TensorBoard."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from vqaudio.quantizers import CodebookUsage

logger = logging.getLogger(__name__)


def _tensorboard(folder: Path):  # type: ignore[no-untyped-def]
    """A SummaryWriter, or None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("no TensorBoard curves: pip install 'vqaudio[train]' to have them.")
        return None
    return SummaryWriter(str(folder))


class RunLog:
    """Writes to `run`; a context manager. Steps count from 0."""

    def __init__(self, run: Path, *, steps: int, first: int) -> None:
        self.file = (run / "log.jsonl").open("a", encoding="utf-8")
        self.board = _tensorboard(run / "tensorboard")
        self.console = Console(stderr=True)
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
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()
        self.file.close()
        if self.board is not None:
            self.board.close()

    def step(self, step: int) -> None:
        """One more step is done."""
        self.progress.update(self.task, completed=step + 1)

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of log.jsonl, and a curve `kind`/name for each value."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        self.file.write(json.dumps({"step": step, "kind": kind, **rounded}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def figures(self, text: str) -> None:
        """The text beside the progress bar."""
        self.progress.update(self.task, figures=text)

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
        self.console.print(
            f"step {step} codebooks, used/perplexity/restarts "
            f"({usage[0].num_tokens} tokens): {levels}",
            highlight=False,
        )

    def say(self, text: str) -> None:
        """A line above the progress bar."""
        self.console.print(text, highlight=False)

    def sound(self, step: int, name: str, waveform: Tensor, sample_rate: int) -> None:
        """[1, S] to TensorBoard."""
        if self.board is not None:
            sound = torch.clamp(waveform.float().cpu(), -1, 1)
            self.board.add_audio(name, sound, step, sample_rate=sample_rate)
