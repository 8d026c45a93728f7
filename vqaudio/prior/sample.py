"""New tokens, drawn from a prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vqaudio.errors import VqaudioError
from vqaudio.prior.layout import NO_CODE, Layout, layout_of
from vqaudio.prior.model import Prior
from vqaudio.prior.stepping import Stepper


class Taste(NamedTuple):
    """How codes are drawn."""

    temperature: float = 1.0
    """Above 0; below 1 likely codes become likelier."""
    top_p: float = 1.0
    """Above 0, up to 1: codes are drawn from the likeliest that together have this probability
    (nucleus sampling, arXiv 1904.09751)."""

    def check(self) -> None:
        """Raises VqaudioError for values that mean nothing."""
        if not self.temperature > 0:
            raise VqaudioError(f"temperature must be above 0, got {self.temperature:g}")
        if not 0 < self.top_p <= 1:
            raise VqaudioError(f"top-p must be above 0 and at most 1, got {self.top_p:g}")

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """logits [K] -> a code."""
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        scores = (logits - logits.max())[None].cpu()  # else a low temperature makes infinities
        unused = torch.zeros(1, 0, dtype=torch.long)
        if self.temperature != 1:
            scores = TemperatureLogitsWarper(float(self.temperature))(unused, scores)
        if self.top_p < 1:
            scores = TopPLogitsWarper(self.top_p)(unused, scores)
        return int(torch.multinomial(torch.softmax(scores[0], -1), 1, generator=generator))


AS_LEARNT = Taste()


@torch.inference_mode()
def sample(
    prior: Prior,
    num_frames: int,
    *,
    prompt: ArrayLike | None = None,
    speaker: str | None = None,
    text: str | None = None,
    taste: Taste = AS_LEARNT,
    until_end: bool = False,
    seed: int = 0,
) -> NDArray[np.uint16]:
    """Codes [Q, T] that begin with `prompt` [Q, T0], with T = `num_frames` in all.

    With `until_end` fewer, where the prior says that the sound is over, whatever the taste. What
    goes beyond the prior's window is drawn with the second half of a window before it, and without
    the text, which belongs to the first window.

    Raises VqaudioError for a taste that means nothing, a speaker that the prior does not know, a
    text for a prior that takes none, and a prompt that is too long, of other levels or beyond the
    codebooks.
    """
    taste.check()
    _check_condition(prior, speaker, text)
    codes = _check_prompt(prior, prompt, num_frames)
    context = prior.config.context_frames
    if text is not None and codes.shape[1] >= context:
        raise VqaudioError(
            f"the text would come before a prompt of {codes.shape[1]} frames, and the prior sees "
            f"{context} at once: take a shorter prompt, or no text"
        )
    generator = torch.Generator().manual_seed(seed)
    while codes.shape[1] < num_frames:
        # The window holds all that there is, or else the newest half of what it can hold.
        known = codes if codes.shape[1] < context else codes[:, -(context // 2) :]
        done = codes.shape[1] - known.shape[1]
        condition = prior.condition(speaker=speaker, text=text if done == 0 else None)
        window = _Window(prior, min(num_frames - done, context), known, condition)
        drawn = window.go_on(taste, generator, until_end=until_end)
        codes = np.concatenate([codes[:, :done], drawn], axis=1)
        if window.ended:
            break
    return codes


class _Window:
    """A stretch whose first frames are known."""

    def __init__(
        self, prior: Prior, num_frames: int, known: NDArray[np.uint16], condition: list[int]
    ) -> None:
        self.prior = prior
        self.condition = condition
        self.num_known = known.shape[1]
        self.codes = np.zeros((len(known), num_frames), np.uint16)
        self.codes[:, : self.num_known] = known
        self.ended = False
        self._lay_out(num_frames)

    def _lay_out(self, num_frames: int) -> None:
        config = self.prior.config
        self.codes = self.codes[:, :num_frames]
        self.layout: Layout = layout_of(config.pattern, self.prior.codebook_sizes, num_frames)

    def go_on(
        self, taste: Taste, generator: torch.Generator, *, until_end: bool
    ) -> NDArray[np.uint16]:
        """Codes [Q, T], the known ones and those drawn after them."""
        prior, stepper = self.prior, Stepper(self.prior)
        column = pushed = 0
        while (column := column + 1) < self.layout.num_columns:
            rows = self._unknown(column)
            if not rows:
                continue
            hidden = stepper.push(self._columns(pushed, column))[0]
            pushed = column
            while rows:
                row = rows.pop(0)
                level = int(self.layout.levels[row, column])
                frame = int(self.layout.frames[row, column])
                may_end = until_end and not self.ended and level == 0 and frame > 0
                if may_end and self._ends(hidden, generator):
                    self.ended = True
                    self._lay_out(frame)  # up to here as it was, and now with its end
                    rows = self._unknown(column)
                    continue
                self.codes[level, frame] = taste.draw(prior.logits(hidden, level), generator)
        return self.codes

    def _ends(self, hidden: Tensor, generator: torch.Generator) -> bool:
        """Drawn as learnt: at any one frame the end is unlikely, and a top-p would leave it out."""
        likely = torch.softmax(self.prior.logits(hidden, 0, with_end=True), -1)[-1]
        return bool(torch.rand((), generator=generator) < likely.cpu())

    def _unknown(self, column: int) -> list[int]:
        """The rows where a code is to be drawn."""
        levels, frames = self.layout.levels[:, column], self.layout.frames[:, column]
        rows: list[int] = ((levels != NO_CODE) & (frames >= self.num_known)).nonzero()[0].tolist()
        return rows

    def _columns(self, first: int, last: int) -> Tensor:
        """Ids [1, R, n] of columns `first` to `last` (exclusive), the condition before them all."""
        ids = torch.from_numpy(self.layout.fill(self.codes)[:, first:last]).long()
        if first == 0:
            ids = self.prior.prepend(self.condition, ids)
        return ids[None].to(self.prior.device)


def _check_condition(prior: Prior, speaker: str | None, text: str | None) -> None:
    if speaker is not None and speaker not in prior.speakers:
        some = ", ".join(prior.speakers[:5])
        known = f"it knows {len(prior.speakers)}, such as {some}" if some else "it takes none"
        raise VqaudioError(f"the prior does not know a speaker {speaker!r}: {known}")
    if text is not None and prior.config.condition != "text":
        raise VqaudioError(
            "the prior was not trained with texts: train one with prior.condition text"
        )


def _check_prompt(prior: Prior, prompt: ArrayLike | None, num_frames: int) -> NDArray[np.uint16]:
    """The prompt as codes [Q, T0], none where there is no prompt."""
    sizes = np.array(prior.codebook_sizes)[:, None]
    if prompt is None:
        return np.zeros((len(sizes), 0), np.uint16)
    codes = np.asarray(prompt)
    if codes.ndim != 2 or len(codes) != len(sizes) or codes.shape[1] >= num_frames:
        raise VqaudioError(
            f"a prompt of shape {list(codes.shape)} does not begin codes of "
            f"{[len(sizes), num_frames]}: it needs as many levels, and fewer frames"
        )
    if codes.dtype.kind not in "iu" or (codes < 0).any() or (codes >= sizes).any():
        raise VqaudioError("the prompt's codes are beyond the prior's codebooks")
    return codes.astype(np.uint16)
