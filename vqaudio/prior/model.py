"""The prior: a decoder-only transformer over the columns of a pattern."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.metrics.libraries import load_library
from vqaudio.patterns import Vocabulary, find_pattern
from vqaudio.prior.config import PriorConfig

NUM_BYTES = 256
TEXT_PER_FRAME = 4
"""Bytes of a text for each frame of a window, more than anyone says. The rest is left out: the text
of a sound of hours would fill the memory."""


class Scores(NamedTuple):
    """How surprised a prior is by a batch."""

    bits: Tensor
    """[B, Q]: of all codes of each level, in the order of the levels."""
    stop_bits: Tensor
    """[B]: of the end, where the end was in sight."""


class Prior(nn.Module):
    """Says how likely each next code is. Shapes: B windows, R rows, L columns, W width.

    The codes of a column are predicted from the columns before it, by one table of embeddings
    whose rows are summed over a column, the blocks of Llama (arXiv 2302.13971) as `transformers`
    has them, and one output for each level. Before the first frame it may be told who speaks or
    what is said.
    """

    def __init__(
        self,
        config: PriorConfig,
        codebook_sizes: Sequence[int],
        *,
        speakers: Sequence[str] = (),
    ) -> None:
        """`codebook_sizes` are those of the levels that it predicts. `speakers` are those that it
        may be told of, by `condition: speaker`."""
        super().__init__()
        self.config = config
        self.codebook_sizes = tuple(codebook_sizes)
        self.speakers = tuple(speakers) if config.condition == "speaker" else ()
        self.vocabulary = Vocabulary(self.codebook_sizes)
        self.num_rows = find_pattern(config.pattern).num_rows(len(self.codebook_sizes))
        conditions = {"none": 0, "speaker": 1 + len(self.speakers), "text": NUM_BYTES}
        transformers = load_library("transformers", "A prior", "transformers", extra="prior")
        self.network = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=self.vocabulary.size + conditions[config.condition],
                hidden_size=config.width,
                intermediate_size=_multiple_of_32(8 * config.width / 3),
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=2**20,  # of no consequence: positions are rotations
                attention_dropout=config.dropout,
                tie_word_embeddings=True,
                pad_token_id=None,
                bos_token_id=self.vocabulary.begin,
                eos_token_id=self.vocabulary.end,
            )
        )

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def condition(self, *, speaker: str | None = None, text: str | None = None) -> list[int]:
        """Ids that come before a sequence; nothing for whom or what it was not trained to know.

        >>> Prior(PriorConfig(condition="text", width=8, heads=1), (4, 4)).condition(text="A")
        [78]
        """
        first = self.vocabulary.size
        if self.config.condition == "speaker":
            known = speaker in self.speakers
            return [first + (1 + self.speakers.index(str(speaker)) if known else 0)]
        if self.config.condition == "text" and text is not None:
            most = TEXT_PER_FRAME * self.config.context_frames
            return [first + byte for byte in text.encode()[:most]]
        return []

    def prepend(self, condition: Sequence[int], ids: Tensor) -> Tensor:
        """Ids [R, L] -> [R, C + L], the C ids of a condition in the first row."""
        before = torch.full((len(ids), len(condition)), self.vocabulary.pad, dtype=ids.dtype)
        before[0] = torch.tensor(condition, dtype=ids.dtype)
        return torch.cat([before.to(ids.device), ids], dim=1)

    def forward(self, ids: Tensor, cache: Any = None) -> Tensor:
        """[B, R, L] -> [B, L, W], of which column l is what predicts column l + 1.

        With a `cache` of transformers, `ids` are the columns after those that it holds.
        """
        embeddings = self.network.get_input_embeddings()(ids).sum(dim=1)
        # The fourth is `cache`, and before transformers 5.24 `past_key_values`.
        output = self.network.model(
            None, None, None, cache, inputs_embeds=embeddings, use_cache=cache is not None
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def logits(self, hidden: Tensor, level: int, *, with_end: bool = False) -> Tensor:
        """[..., W] -> [..., K] of one level; [..., K + 1] where the last is that the sound ends."""
        weight = self.network.lm_head.weight
        offset, size = self.vocabulary.offsets[level], self.codebook_sizes[level]
        rows = weight[offset : offset + size]
        if with_end:
            rows = torch.cat([rows, weight[self.vocabulary.end : self.vocabulary.end + 1]])
        return F.linear(hidden, rows)

    def score(self, ids: Tensor, levels: Tensor, stops: Tensor) -> Scores:
        """How surprising the codes of `ids` [B, R, L] are, each after the columns before it.

        `levels` [B, R, L] says which level the code at each place has (NO_CODE: none that counts),
        `stops` [B] in which column the sound turned out to be over (0: out of sight).
        """
        hidden = self(ids)[:, :-1].float()
        ids, levels = ids[:, :, 1:], levels[:, :, 1:]
        batch = len(ids)
        bits = hidden.new_zeros(batch, len(self.codebook_sizes))
        for level, offset in enumerate(self.vocabulary.offsets):
            here = levels == level
            item, row, column = here.nonzero(as_tuple=True)
            codes = ids[item, row, column] - offset
            logits = self.logits(hidden[item, column], level, with_end=level == 0)
            if level == 0:
                # That the sound goes on is counted with the end, not with the codes.
                told = torch.logsumexp(logits[:, :-1], -1) - torch.logsumexp(logits, -1)
                stop_bits = _sum_by_item(-told, item, batch)
                logits = logits[:, :-1]
            surprise = F.cross_entropy(logits, codes.long(), reduction="none")
            bits[:, level] = _sum_by_item(surprise, item, batch)
        (item,) = stops.nonzero(as_tuple=True)
        logits = self.logits(hidden[item, stops[item] - 1], 0, with_end=True)
        end = torch.full_like(item, logits.shape[-1] - 1)
        surprise = F.cross_entropy(logits, end, reduction="none")
        stop_bits = stop_bits + _sum_by_item(surprise, item, batch)
        return Scores(bits / math.log(2), stop_bits / math.log(2))


def _sum_by_item(values: Tensor, item: Tensor, batch: int) -> Tensor:
    """values [N] of items [N] -> [B]."""
    return values.new_zeros(batch).index_add_(0, item, values)


def _multiple_of_32(width: float) -> int:
    return 32 * math.ceil(width / 32)
