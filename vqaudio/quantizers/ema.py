"""The codebook of VQ-VAE, moved by exponential moving averages."""

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


class EmaCodebook(nn.Module):
    """K centroids of dimension D that follow the vectors that choose them.

    With n_k vectors of sum s_k on code k in this batch (van den Oord et al. 2017,
    arXiv:1711.00937, appendix A.1; Razavi et al. 2019, arXiv:1906.00446):

        N_k <- decay N_k + (1 - decay) n_k
        m_k <- decay m_k + (1 - decay) s_k
        e_k  = m_k / N_k

    Only N (`counts`) and m (`sums`) are stored; centroids are derived. Whatever writes a centroid,
    the first batch or a restart, writes both, so that no later step can undo it.

    A code is dead when its count is below `restart_below` times the mean count, its fair share. It
    restarts on a vector of the batch, with the fair share as count: a measure relative to the
    traffic, because with few vectors per code an absolute one would call most of the book dead.

    With `unit`, vectors and centroids are of length 1 and the nearest is the one at the smallest
    angle; the vectors have to come so.

    Computed in float32 with autocast off.
    """

    counts: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        decay: float = 0.99,
        restart_below: float = 0.1,
        kmeans_iterations: int = 10,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.dim = dim
        self.decay = decay
        self.restart_below = restart_below
        self.kmeans_iterations = kmeans_iterations
        self.unit = unit
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", torch.zeros(codebook_size, dim))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._started = False

    @property
    def centroids(self) -> Tensor:
        """[K, D] float32."""
        if self.unit:
            return F.normalize(self.sums, dim=-1)
        return self.sums / self.counts[:, None]

    @property
    def started(self) -> bool:
        """Whether a batch has placed the codes."""
        # Asked of the device until the first yes, and never again: the answer does not change.
        self._started = self._started or bool(self.updates > 0)
        return self._started

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """x [..., D], mask [...] bool, true where a vector counts.

        In training mode the batch moves the codebook, after its codes were chosen.
        """
        with torch.autocast(x.device.type, enabled=False):
            flat, keep = flatten(x, mask, self.dim)
            batch = Batch(flat.detach(), keep) if self.training else None
            if batch is not None and not self.started:
                self._start(batch)
            centroids = self.centroids
            codes = nearest(flat if batch is None else batch.x, centroids)
            vectors = F.embedding(codes, centroids)
            left = flat - vectors
            restarts = codes.new_zeros(())
            if batch is not None:
                self._update(batch, codes, restarts)
            return Quantized(
                vectors=vectors.view(x.shape),
                left=left.view(x.shape),
                codes=codes.view(x.shape[:-1]),
                commitment=masked_mean_square(left, keep),
                codebook_loss=flat.new_zeros(()),
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
        if self.unit:
            return F.embedding(codes, self.centroids)
        # The same numbers, but only those that are asked for are divided.
        return F.embedding(codes, self.sums) / F.embedding(codes, self.counts[:, None])

    def stored(self) -> dict[str, Tensor]:
        # Before they get unit length: dividing twice would change their last digits.
        return {"centroids": self.sums / self.counts[:, None]}

    def restore(self, stored: dict[str, Tensor]) -> None:
        self.place(stored.pop("centroids"))

    @torch.no_grad()
    def place(self, centroids: Tensor) -> None:
        """Put the codes at `centroids` [K, D], all equally used."""
        self.counts.fill_(1.0)
        self.sums.copy_(centroids)
        self.updates.fill_(1)

    @torch.no_grad()
    def _start(self, batch: Batch) -> None:
        """Place the codes where the first batch is, unless that is all padding."""
        counts, sums = batch.cluster(self.codebook_size, self.updates, self.kmeans_iterations)
        if not counts.any():
            return
        self.counts.copy_(counts)
        self.sums.copy_(sums)
        # At once: the codes of this very batch are chosen next.
        dead = dead_codes(self.counts, self.restart_below)
        self._restart(dead, batch.draw(self.codebook_size, self.updates))

    @torch.no_grad()
    def _update(self, batch: Batch, codes: Tensor, restarts: Tensor) -> None:
        """Move to the batch; the number of dead codes is added to `restarts`."""

        def learn(found: Statistics) -> None:
            seen = found.counts.sum() > 0  # a batch of padding changes nothing
            self.counts.lerp_(found.counts, (1 - self.decay) * seen)
            self.sums.lerp_(found.sums, (1 - self.decay) * seen)
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
        self.sums.copy_(torch.where(dead[:, None], fair_share * vectors, self.sums))
