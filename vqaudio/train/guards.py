"""What watches over a run: skipped steps, collapsing codebooks, the best model so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vqaudio.errors import TrainingError
from vqaudio.quantizers import CodebookUsage
from vqaudio.recipe import CollapseConfig

MAX_SKIPPED = 50
"""Steps in a row with a loss or gradient that is no number, after which the run is lost."""


class Guards:
    """Counts on the device, and looks at the counts only when asked; part of a run's state."""

    def __init__(self, codebook_sizes: tuple[int, ...], device: torch.device) -> None:
        self.sizes = codebook_sizes
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        """Steps without a finite gradient, since the last line of the log."""
        self.skipped_in_a_row = torch.zeros_like(self.skipped)
        self.restarts = torch.zeros(len(codebook_sizes), dtype=torch.int64, device=device)
        """Per level, since the last validation."""
        # One place more, for codes of -1.
        self.counts = torch.zeros(
            len(codebook_sizes), max(codebook_sizes) + 1, dtype=torch.int64, device=device
        )
        self.low_steps = [0] * len(codebook_sizes)
        """Per level: steps in a row with a perplexity under the floor."""
        self.best = math.inf
        """Mel loss of the best validation."""

    def note_codes(self, codes: Tensor, restarts: Tensor) -> None:
        """codes [B, Q, T] and restarts [Q] of a pass."""
        self.restarts += restarts
        places = codes.transpose(0, 1).flatten(1) + 1  # not bincount, which waits for the device
        self.counts.scatter_add_(1, places, torch.ones_like(places))

    def note_gradients(self, norms: Mapping[str, Tensor]) -> None:
        """The norms of the gradients of codec and discriminators, after a step."""
        finite = torch.stack(list(norms.values())).isfinite().all()
        self.skipped_in_a_row = (self.skipped_in_a_row + 1) * ~finite
        self.skipped += ~finite

    def check_gradients(self, step: int) -> None:
        """Raises TrainingError after too many skipped steps."""
        skipped = int(self.skipped_in_a_row)
        if skipped >= MAX_SKIPPED:
            raise TrainingError(
                f"the last {skipped} steps up to step {step} had no finite gradient: lower the "
                "stage's optimizer.learning_rate and start anew in another folder."
            )

    def take_usage(self) -> list[CodebookUsage]:
        """Of the codes since the last call, per level."""
        counts = self.counts.to("cpu", copy=True)
        self.counts.zero_()
        return [
            CodebookUsage.from_counts(row[1 : size + 1])
            for row, size in zip(counts, self.sizes, strict=True)
        ]

    def take_skipped(self) -> int:
        """Steps without a finite gradient since the last call."""
        skipped = int(self.skipped)
        self.skipped.zero_()
        return skipped

    def take_restarts(self) -> Tensor:
        """[Q] on CPU: restarts since the last call."""
        restarts = self.restarts.to("cpu", copy=True)
        self.restarts.zero_()
        return restarts

    def alarms(self, usage: list[CodebookUsage], steps: int, config: CollapseConfig) -> list[str]:
        """A sentence for each level that has now been under the floor for as long as the recipe
        allows; `usage` is that of the last so many steps."""
        alarms = []
        for level, (book, size) in enumerate(zip(usage, self.sizes, strict=True)):
            low = book.num_tokens > 0 and book.perplexity < config.below * size
            before = self.low_steps[level]
            self.low_steps[level] = before + steps if low else 0
            if before < config.steps <= self.low_steps[level]:  # once, not at every line
                alarms.append(
                    f"codebook {level} collapses: perplexity {book.perplexity:.0f} of {size} "
                    f"codes, under {config.below:g} of them for {self.low_steps[level]} steps; "
                    "see `vqaudio doctor`"
                )
        return alarms

    def state_dict(self) -> dict[str, Any]:
        return {
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "restarts": self.restarts,
            "counts": self.counts,
            "low_steps": self.low_steps,
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("skipped", "skipped_in_a_row", "restarts", "counts"):
            getattr(self, name).copy_(state[name])
        self.low_steps = list(state["low_steps"])
        self.best = float(state["best"])
