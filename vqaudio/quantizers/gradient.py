"""The codebook of VQ-VAE, moved by its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.quantizers.batch import Batch, Statistics
from vqaudio.quantizers.codebook import (
    Quantized,
    dead_codes,
    flatten,
    frozen_search,
    masked_mean_square,
)
from vqaudio.quantizers.search import nearest


class GradientCodebook(nn.Module):
    """K centroids of dimension D that the optimiser pulls to the vectors that choose them.

    The loss is ||sg[x] - e_k||^2 (van den Oord et al. 2017, arXiv:1711.00937, equation 3). Start
    and dead codes as in `EmaCodebook`, with `counts` (moving averages of the traffic, decay as
    there) to tell which are dead. A restarted code keeps the optimiser's momentum of its place;
    at the usual learning rates that moves it little.
    """

    counts: Tensor
    updates: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        decay: float = 0.99,
        restart_below: float = 0.1,
        kmeans_iterations: int = 10,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.dim = dim
        self.decay = decay
        self.restart_below = restart_below
        self.kmeans_iterations = kmeans_iterations
        self.weight = nn.Parameter(torch.zeros(codebook_size, dim))
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._started = False

    @property
    def centroids(self) -> Tensor:
        """[K, D] float32."""
        return self.weight

    @property
    def started(self) -> bool:
        """Whether a batch has placed the codes."""
        self._started = self._started or bool(self.updates > 0)
        return self._started

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """x [..., D], mask [...] bool, true where a vector counts."""
        with torch.autocast(x.device.type, enabled=False):
            flat, keep = flatten(x, mask, self.dim)
            batch = Batch(flat.detach(), keep) if self.training else None
            if batch is not None and not self.started:
                self._start(batch)
            codes = nearest(flat if batch is None else batch.x, self.weight)
            # Before the restarts: a vector that chose a dying code gets that code's vector.
            vectors = F.embedding(codes, self.weight)
            left = flat - vectors.detach()
            restarts = codes.new_zeros(())
            if batch is not None:
                self._update(batch, codes, restarts)
            return Quantized(
                vectors=vectors.detach().view(x.shape),
                left=left.view(x.shape),
                codes=codes.view(x.shape[:-1]),
                commitment=masked_mean_square(left, keep),
                codebook_loss=masked_mean_square(flat.detach() - vectors, keep),
                restarts=restarts,
            )

    def encode(self, x: Tensor) -> Tensor:
        """[..., D] -> [...] int64."""
        return self.frozen_encode()(x)

    def frozen_encode(self) -> Callable[[Tensor], Tensor]:
        """`encode` as it is now, of a codebook that stays."""
        return frozen_search(self.centroids)

    def decode(self, codes: Tensor) -> Tensor:
        """[...] -> [..., D]."""
        return F.embedding(codes, self.centroids)

    def stored(self) -> dict[str, Tensor]:
        return {"centroids": self.centroids}

    def restore(self, stored: dict[str, Tensor]) -> None:
        self.place(stored.pop("centroids"))

    @torch.no_grad()
    def place(self, centroids: Tensor) -> None:
        """Put the codes at `centroids` [K, D], all equally used."""
        self.counts.fill_(1.0)
        self.weight.copy_(centroids)
        self.updates.fill_(1)

    @torch.no_grad()
    def _start(self, batch: Batch) -> None:
        """Place the codes where the first batch is, unless that is all padding."""
        counts, sums = batch.cluster(self.codebook_size, self.updates, self.kmeans_iterations)
        if not counts.any():
            return
        self.counts.copy_(counts)
        self.weight.copy_(sums / counts.clamp(min=1.0)[:, None])
        # At once: the codes of this very batch are chosen next.
        dead = dead_codes(self.counts, self.restart_below)
        self._restart(dead, batch.draw(self.codebook_size, self.updates))

    @torch.no_grad()
    def _update(self, batch: Batch, codes: Tensor, restarts: Tensor) -> None:
        """Move to the batch; the number of dead codes is added to `restarts`."""

        def learn(found: Statistics) -> None:
            seen = found.counts.sum() > 0  # a batch of padding changes nothing
            self.counts.lerp_(found.counts, (1 - self.decay) * seen)
            self.updates += seen
            dead = dead_codes(self.counts, self.restart_below)
            restarts.add_(dead.sum())
            batch.draw_then(self.codebook_size, self.updates, partial(self._restart, dead))

        batch.statistics_then(codes, self.codebook_size, learn)

    @torch.no_grad()
    def _restart(self, dead: Tensor, vectors: Tensor) -> None:
        """Put the codes [K] that are dead on vectors [K, D]."""
        fair_share = self.counts.mean()
        self.counts.copy_(torch.where(dead, fair_share, self.counts))
        self.weight.copy_(torch.where(dead[:, None], vectors, self.weight))
