"""What goes wrong in EnCodec's codebook must not go wrong here.

Each check runs on our codebooks and on `EncodecStyleCodebook`, a twin of the logic that EnCodec
and those who copied it use. It has to pass on ours and to fail on the twin: a check that cannot
tell them apart would guard nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vqaudio.quantizers import CodebookUsage, EmaCodebook, GradientCodebook
from vqaudio.quantizers.usage import count_codes


class EncodecStyleCodebook:
    """`EuclideanCodebook` of encodec/quantization/core_vq.py 0.1.1, in training mode.

    The centroids (`embed`) are stored beside the sums they come from (`embed_avg`). The k-means
    start makes the sums equal to the centroids, but the counts equal to the cluster sizes. A dead
    code is replaced in `embed` only, which the same forward then computes anew from the sums.
    """

    def __init__(self, codebook_size: int, dim: int, decay: float = 0.99) -> None:
        self.codebook_size = codebook_size
        self.decay = decay
        self.threshold = 2.0
        self.started = False
        self.embed = torch.zeros(codebook_size, dim)
        self.embed_avg = self.embed.clone()
        self.cluster_size = torch.zeros(codebook_size)
        self.replaced = 0

    @property
    def centroids(self) -> Tensor:
        return self.embed

    def set(self, centroids: Tensor, counts: Tensor) -> None:
        """The state in the middle of a training."""
        self.started = True
        self.embed = centroids.clone()
        self.embed_avg = centroids * counts[:, None]
        self.cluster_size = counts.clone()

    def __call__(self, x: Tensor) -> Tensor:
        """[N, D] -> [N] the codes."""
        if not self.started:
            self.start(x)
        codes = torch.cdist(x, self.embed).argmin(dim=1)
        self.expire(x)
        onehot = F.one_hot(codes, self.codebook_size).float()
        self.cluster_size.lerp_(onehot.sum(dim=0), 1 - self.decay)
        self.embed_avg.lerp_(onehot.T @ x, 1 - self.decay)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + 1e-5) / (total + self.codebook_size * 1e-5) * total
        self.embed = self.embed_avg / smoothed[:, None]
        return codes

    def start(self, x: Tensor) -> None:
        means = x[torch.randperm(len(x))[: self.codebook_size]]
        for _ in range(10):
            codes = torch.cdist(x, means).argmin(dim=1)
            sizes = torch.bincount(codes, minlength=self.codebook_size)
            sums = torch.zeros_like(means).index_add_(0, codes, x)
            means = torch.where(sizes[:, None] == 0, means, sums / sizes.clamp(min=1)[:, None])
        self.embed = means
        self.embed_avg = means.clone()
        self.cluster_size = sizes.float()
        self.started = True

    def expire(self, x: Tensor) -> None:
        expired = self.cluster_size < self.threshold
        self.replaced = int(expired.sum())
        samples = x[torch.randint(len(x), (self.codebook_size,))]
        self.embed = torch.where(expired[:, None], samples, self.embed)


class Ours:
    """Our codebooks behind the twin's few methods."""

    def __init__(self, book: EmaCodebook | GradientCodebook) -> None:
        self.book = book
        self.replaced = 0

    @property
    def centroids(self) -> Tensor:
        return self.book.centroids.detach()

    def set(self, centroids: Tensor, counts: Tensor) -> None:
        self.book.place(centroids)
        self.book.counts.copy_(counts)
        if isinstance(self.book, EmaCodebook):
            self.book.sums.copy_(centroids * counts[:, None])

    def __call__(self, x: Tensor) -> Tensor:
        answer = self.book(x)
        self.replaced = int(answer.restarts)
        return answer.codes


Subject = Ours | EncodecStyleCodebook
SUBJECTS: dict[str, Callable[[int, int], Subject]] = {
    "ema": lambda size, dim: Ours(EmaCodebook(size, dim)),
    "gradient": lambda size, dim: Ours(GradientCodebook(size, dim)),
    "encodec": EncodecStyleCodebook,
}
EACH = pytest.mark.parametrize("name", SUBJECTS)


def passes_only_here(name: str, why_not: str) -> AbstractContextManager[object]:
    return pytest.raises(AssertionError, match=why_not) if name == "encodec" else nullcontext()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def perplexity(codes: Tensor, codebook_size: int) -> float:
    return CodebookUsage.from_counts(count_codes(codes, codebook_size)).perplexity


def clusters(mean: float, num_clusters: int = 16, dim: int = 8) -> Callable[[int], Tensor]:
    """A source of vectors in clusters of standard deviation 0.1 around points about `mean`."""
    centres = mean + 3.0 * torch.randn(num_clusters, dim)
    return lambda n: centres[torch.randint(num_clusters, (n,))] + 0.1 * torch.randn(n, dim)


def check_first_update_stays_with_the_data(book: Subject, mean: float) -> None:
    source = clusters(mean)
    for _ in range(3):
        x = source(512)
        book(x)
        norm = book.centroids.norm(dim=1).mean() / x.norm(dim=1).mean()
        assert 0.8 < norm < 1.2, f"the centroids' norm is {norm:.3f} of the data's"


def check_start_uses_all_clusters(book: Subject, mean: float) -> None:
    source = clusters(mean)
    for _ in range(3):
        book(source(512))
    used = perplexity(book(source(512)), 16)
    assert used > 8.0, f"a perplexity of {used:.1f}"


@EACH
@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
def test_the_first_update_leaves_the_centroids_where_the_data_are(name: str, mean: float) -> None:
    with passes_only_here(name, r"norm is \d+\.\d+ of the data's"):
        check_first_update_stays_with_the_data(SUBJECTS[name](16, 8), mean)


@EACH
def test_offset_data_use_the_whole_book_after_the_first_updates(name: str) -> None:
    with passes_only_here(name, r"a perplexity of 1\.\d"):
        check_start_uses_all_clusters(SUBJECTS[name](16, 8), 30.0)


def check_restarted_code_stays(book: Subject) -> None:
    source = clusters(0.0)
    centroids = source(16)
    dead = 5
    centroids[dead] = 100.0  # far from all data
    counts = torch.full((16,), 20.0)
    counts[dead] = 1.0
    book.set(centroids, counts)
    x = source(320)
    book(x)
    moved_to = book.centroids[dead].clone()
    assert (x - moved_to).norm(dim=1).min() < 1e-4, "the code is not on a vector of the batch"
    book(source(320))
    step = (book.centroids[dead] - moved_to).norm()
    assert step < 0.1, f"the step after the restart moved the code by {step:.3f}"


@EACH
def test_a_restarted_code_is_still_there_after_this_step_and_the_next(name: str) -> None:
    with passes_only_here(name, "not on a vector of the batch"):
        check_restarted_code_stays(SUBJECTS[name](16, 8))


def check_few_vectors_per_code(book: Subject, steps: int = 60) -> float:
    """1024 codes, each as frequent as the others, 297 vectors a step; the perplexity."""
    centres = torch.randn(1024, 8)
    book.set(centres, torch.ones(1024))
    codes, redrawn = [], []
    for _ in range(steps):
        codes.append(book(centres[torch.randint(1024, (297,))] + 0.05 * torch.randn(297, 8)))
        redrawn.append(book.replaced)
    assert max(redrawn) == 0, f"{max(redrawn)} healthy codes were redrawn"
    return perplexity(torch.cat(codes[steps // 2 :]), 1024)


@pytest.mark.parametrize("name", ["ema", "gradient"])
def test_a_rare_code_is_not_dead(name: str) -> None:
    assert check_few_vectors_per_code(SUBJECTS[name](1024, 8)) > 900.0


def test_an_absolute_threshold_redraws_most_of_the_book() -> None:
    book = EncodecStyleCodebook(1024, 8)
    with pytest.raises(AssertionError, match=r"\d+ healthy codes were redrawn"):
        check_few_vectors_per_code(book)
    assert book.replaced > 0.9 * 1024


def test_a_dead_book_comes_alive() -> None:
    """The data jump away: one code is nearest to all of them, and all others have to follow."""
    source = clusters(50.0)
    book = EmaCodebook(32, 8, decay=0.9)
    book.place(torch.randn(32, 8))
    assert perplexity(book(source(256)).codes, 32) < 4.0
    for _ in range(60):
        codes = book(source(256)).codes
    assert perplexity(codes, 32) > 10.0
    x = source(256)
    assert (x - book(x).vectors).square().mean() < 1.0  # of a variance of 9
