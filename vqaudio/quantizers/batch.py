"""What codebooks learn from the vectors of a batch: statistics, draws, a first set of centroids.

All of it is over the joined batch of all ranks, and none of it waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vqaudio.quantizers.ranks import Place, own_slot, place_in, sum_over_ranks, sum_then
from vqaudio.quantizers.search import nearest


class Statistics(NamedTuple):
    """How many vectors each code got, [K] float32, and their sums, [K, D] float32."""

    counts: Tensor
    sums: Tensor


class Batch:
    """Vectors to learn from: x [N, D], those with `mask` [N] false being padding.

    Padding is set to zero here, once, so that not even an infinity in it gets any further. A vector
    that is not finite counts as padding: its sum would stay in a codebook for good.
    """

    def __init__(self, x: Tensor, mask: Tensor | None) -> None:
        finite = torch.isfinite(x.sum(dim=1))
        self.mask = finite if mask is None else mask & finite
        # The copy is not cheap, and on CPU it costs nothing to ask whether it is needed.
        whole = x.device.type == "cpu" and bool(self.mask.all())
        self.x = x if whole else x.masked_fill(~self.mask[:, None], 0.0)
        self.count = self.mask.sum()
        self.place: Place | None = None
        """In the joined batch, once it is known."""

    def statistics(self, codes: Tensor, codebook_size: int) -> Statistics:
        """Counts and sums of the vectors by code; `codes` is [N] int64."""
        both = sum_over_ranks(self._own_statistics(codes, codebook_size))
        return Statistics(both[:, 0], both[:, 1:])

    def statistics_then(
        self, codes: Tensor, codebook_size: int, then: Callable[[Statistics], None]
    ) -> None:
        """As `statistics`, by way of `sum_then`."""
        own = self._own_statistics(codes, codebook_size)
        # In float32 with the rest: exact up to 16.8 million vectors on a rank.
        slots = own_slot(self.count).to(own.dtype)

        def take(total: Tensor) -> None:
            both = total[: own.numel()].view_as(own)
            self.place = place_in(total[own.numel() :].round().long())
            then(Statistics(both[:, 0], both[:, 1:]))

        sum_then(torch.cat([own.flatten(), slots]), take)

    def _own_statistics(self, codes: Tensor, codebook_size: int) -> Tensor:
        """[K, 1 + D]: counts and sums of this rank's vectors."""
        counts = self.x.new_zeros(codebook_size).index_add_(0, codes, self.mask.to(self.x.dtype))
        sums = self.x.new_zeros(codebook_size, self.x.shape[1]).index_add_(0, codes, self.x)
        return torch.cat([counts[:, None], sums], dim=1)

    def draw(self, count: int, turn: Tensor) -> Tensor:
        """`count` vectors spread over the batch, [count, D]; another `turn` (int64), other ones.

        The batch is cut into `count` equal parts and one vector taken from each, so none comes
        twice where there are enough. The choice is arithmetic on `turn`, not a random state: it
        is the same on all ranks and after a restart of the program.
        """
        return sum_over_ranks(self._own_draw(count, turn))

    def draw_then(self, count: int, turn: Tensor, then: Callable[[Tensor], None]) -> None:
        """As `draw`, by way of `sum_then`."""
        sum_then(self._own_draw(count, turn), then)

    def _own_draw(self, count: int, turn: Tensor) -> Tensor:
        """[count, D]: those of the drawn vectors that this rank has, zeros for the others."""
        if self.place is None:
            self.place = place_in(sum_over_ranks(own_slot(self.count)))
        offset, total = self.place
        places = torch.arange(count, device=self.x.device)
        part = (places + turn * 7919) % count
        # Two odd constants mix code and turn; a position within the part is all that is needed.
        jitter = (places * 40503 + turn * 69069) % total.clamp(min=1)
        index = (part * total + jitter) // count - offset
        here = (index >= 0) & (index < self.count)
        # The i-th vector that is no padding stands where the count of such first reaches i + 1.
        kept = torch.searchsorted(self.mask.cumsum(dim=0), index + 1)
        return self.x[kept.clamp(0, len(self.x) - 1)] * here[:, None]

    def cluster(self, codebook_size: int, turn: Tensor, iterations: int) -> Statistics:
        """k-means from a draw: the statistics of the last assignment, centroid = sum / count.

        A code that no vector chose has count and sum zero; its owner restarts it.
        """
        centroids = self.draw(codebook_size, turn)
        statistics = self.statistics(nearest(self.x, centroids), codebook_size)
        for _ in range(iterations):
            means = statistics.sums / statistics.counts.clamp(min=1.0)[:, None]
            centroids = torch.where(statistics.counts[:, None] > 0, means, centroids)
            statistics = self.statistics(nearest(self.x, centroids), codebook_size)
        return statistics
