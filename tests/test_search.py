"""The nearest code: right, the lowest at a tie, in float32 and in bounded memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vqaudio.quantizers import (
    EmaCodebook,
    GradientCodebook,
    ProjectedCodebook,
    ResidualQuantizer,
    nearest,
    unit_length,
)
from vqaudio.quantizers.search import BLOCK_ROWS


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def distances_slowly(vectors: Tensor, centroids: Tensor) -> Tensor:
    """[N, D], [K, D] -> [N, K] float64, by the definition."""
    rows = [(vectors.double() - c.double()).square().sum(dim=1) for c in centroids]
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
@pytest.mark.parametrize(("n", "k", "dim"), [(3000, 257, 16), (1, 2, 1), (1025, 1000, 64)])
def test_the_code_is_the_nearest(n: int, k: int, dim: int, mean: float) -> None:
    centroids = mean + torch.randn(k, dim)
    vectors = mean + torch.randn(n, dim)
    codes = nearest(vectors, centroids)
    distances = distances_slowly(vectors, centroids)
    best, second = distances.sort(dim=1).values[:, :2].T
    # float32 scores are good to 2e-6 of the squared norms; where the two best are further apart
    # than that there is one right answer.
    decided = second - best > 2e-6 * (dim + distances.amax(dim=1))
    assert decided.double().mean() > 0.99
    assert torch.equal(codes[decided], distances.argmin(dim=1)[decided])
    excess = distances.gather(1, codes[:, None])[:, 0] - best
    assert excess.max() <= 2e-6 * (dim + distances.max())


@pytest.mark.parametrize("k", [2, 37, 1024])
def test_the_lowest_code_wins_a_tie(k: int) -> None:
    vectors = torch.randn(500, 24)
    same = torch.randn(24).expand(k, 24)
    assert not nearest(vectors, same).any()
    half = torch.randint(-8, 9, (k, 24)).float()
    whole = torch.cat([half, -half])  # their mean is 0, so that nothing is rounded
    vectors = torch.randint(-8, 9, (500, 24)).float()
    assert torch.equal(nearest(vectors, torch.cat([whole] * 3)), nearest(vectors, whole))
    # Whole numbers, computed without rounding: 0 lies between -1 and 1, 10 between 8 and 12.
    line = torch.tensor([12.0, 8.0, -1.0, 1.0, 5.0])[:, None]
    assert nearest(torch.tensor([[0.0], [10.0], [3.0]]), line).tolist() == [2, 0, 3]


@pytest.mark.parametrize("k", [2, 37, 1024])
def test_a_vector_of_equal_codes_goes_to_no_other_code(k: int) -> None:
    """Some processors round the last columns of a product otherwise than the first: of three equal
    codes any may have the largest score."""
    vectors, centroids = torch.randn(500, 24), torch.randn(k, 24)
    threefold = nearest(vectors, torch.cat([centroids] * 3))
    assert torch.equal(threefold % k, nearest(vectors, centroids))


def test_search_is_float32_under_autocast() -> None:
    vectors, centroids = 100 + torch.randn(2000, 32), 100 + torch.randn(512, 32)
    with torch.autocast("cpu", torch.bfloat16):
        codes = nearest(vectors, centroids)
    assert torch.equal(codes, nearest(vectors, centroids))


@pytest.mark.parametrize("unit", [False, True])
def test_a_frozen_search_is_of_the_codes_as_they_were(unit: bool) -> None:
    inner = EmaCodebook(16, 3, unit=unit)
    book = ProjectedCodebook(3, inner, unit_length if unit else torch.tanh)
    quantizer = ResidualQuantizer(3, lambda: copy.deepcopy(book), stagger=0)
    x = torch.randn(40, 5, 3)
    quantizer(x)
    frozen, first_two = quantizer.frozen_encode(), quantizer.frozen_encode(2)
    then = quantizer.encode(x)
    assert torch.equal(frozen(x), then)
    assert torch.equal(first_two(x), then[..., :2])
    assert torch.equal(frozen(x[:1, :1]), then[:1, :1])  # one vector alone
    for level in quantizer.codebooks:
        level.inner.place(unit_length(torch.randn(16, 3)))
    assert torch.equal(frozen(x)[..., 0], then[..., 0])
    assert not torch.equal(quantizer.encode(x)[..., 0], then[..., 0])
    assert torch.equal(quantizer.encode(x), quantizer.frozen_encode()(x))


def test_a_vector_s_scores_are_the_same_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the codes alone, which a score that is off by a bit seldom changes."""
    seen: list[Tensor] = []

    def argmax(scores: Tensor) -> Tensor:
        seen.append(scores.clone())
        return scores.argmax(dim=1)

    monkeypatch.setattr("vqaudio.quantizers.search._argmax", argmax)
    vectors, centroids = torch.randn(16, 64), torch.randn(1024, 64)
    for count in (16, 1, 2, 7):
        nearest(vectors[:count], centroids)
    for scores in seen[1:]:
        assert torch.equal(scores, seen[0][: len(scores)])


@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
def test_what_was_chosen_is_what_decodes(kind: type[EmaCodebook | GradientCodebook]) -> None:
    book, x = kind(16, 3), torch.randn(200, 3)
    book(x)
    codes = book.encode(x)
    assert torch.equal(codes, nearest(x, book.centroids))
    assert torch.equal(book.decode(codes), book.centroids[codes])


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements any tensor had."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.itemsize)
        return result


def test_no_tensor_of_vectors_times_codes() -> None:
    n, k = 65536, 2048
    vectors, centroids = torch.randn(n, 2), torch.randn(k, 2)
    with LargestTensor() as largest:
        nearest(vectors, centroids)
    assert BLOCK_ROWS * k <= largest.elements < 1.1 * BLOCK_ROWS * k < n * k / 50


@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
def test_a_training_step_stays_in_blocks(kind: type[EmaCodebook | GradientCodebook]) -> None:
    n, k = 16 * BLOCK_ROWS, 512
    book = kind(k, 4, kmeans_iterations=2)
    with LargestTensor() as largest:
        for _ in range(2):  # start and update
            book(torch.randn(n, 4), torch.rand(n) < 0.9)
    assert BLOCK_ROWS * k <= largest.elements < 1.1 * BLOCK_ROWS * k
