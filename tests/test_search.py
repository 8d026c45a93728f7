"""The nearest code: right, the lowest at a tie, in float32 and in bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vqaudio.quantizers import EmaCodebook, GradientCodebook, nearest
from vqaudio.quantizers.search import BLOCK_ROWS, KeptSearch, Search


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
    centroids = torch.randn(k, 24)
    assert torch.equal(nearest(vectors, torch.cat([centroids] * 3)), nearest(vectors, centroids))
    # Whole numbers, computed without rounding: 0 lies between -1 and 1, 10 between 8 and 12.
    line = torch.tensor([12.0, 8.0, -1.0, 1.0, 5.0])[:, None]
    assert nearest(torch.tensor([[0.0], [10.0], [3.0]]), line).tolist() == [2, 0, 3]


def test_search_is_float32_under_autocast() -> None:
    vectors, centroids = 100 + torch.randn(2000, 32), 100 + torch.randn(512, 32)
    with torch.autocast("cpu", torch.bfloat16):
        codes = nearest(vectors, centroids)
    assert torch.equal(codes, nearest(vectors, centroids))


Book = EmaCodebook | GradientCodebook


def trained(kind: type[Book]) -> Book:
    book = kind(16, 3, decay=0.5)
    for _ in range(3):
        book(torch.randn(200, 3))
    return book.eval()


def step(book: Book, **options: bool) -> None:
    """Of training, by an optimiser as well."""
    weights = list(book.parameters())
    optimizer = torch.optim.AdamW(weights, 0.5, **options) if weights else None
    answer = book.train()(torch.randn(400, 3))
    if optimizer is not None:
        answer.codebook_loss.backward()
        optimizer.step()
    book.eval()


def write_unseen(book: Book) -> None:
    """By a way that torch does not count."""
    for tensor in (*book.parameters(), *(b for b in book.buffers() if b.is_floating_point())):
        tensor.data.copy_(torch.rand_like(tensor) + 0.5)


def place(book: Book) -> None:
    book.place(torch.randn(16, 3))


def load(book: Book) -> None:
    book.load_state_dict(trained(type(book)).state_dict())


def round_off(book: Book) -> None:
    book.to(torch.bfloat16).float()


CHANGES: dict[str, Callable[[Book], object]] = {
    "placed": place,
    "loaded": load,
    "trained": step,
    "trained by one fused operation": partial(step, fused=True),
    "written to unseen": write_unseen,
    "rounded off": round_off,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
@pytest.mark.parametrize("copied", [False, True])
def test_a_codebook_that_changed_is_searched_anew(
    kind: type[Book], change: Callable[[Book], object], copied: bool
) -> None:
    book, x = trained(kind), 2 * torch.randn(300, 3)
    place(book)  # so that a copy's count of changes catches up with what was kept
    assert torch.equal(book.encode(x), nearest(x, book.centroids))
    book = copy.deepcopy(book) if copied else book
    before = book.centroids.clone()
    change(book)
    assert not torch.equal(before, book.centroids)
    for inference in (True, False):
        with torch.inference_mode(inference):
            assert torch.equal(book.encode(x), nearest(x, book.centroids))
            assert torch.equal(book.decode(book.encode(x)), book.centroids[book.encode(x)])


def test_a_codebook_of_inference_mode_is_searched_anew() -> None:
    with torch.inference_mode():
        book, x = trained(EmaCodebook), torch.randn(300, 3)
        for _ in range(2):
            assert torch.equal(book.encode(x), nearest(x, book.centroids))
            place(book)


def test_the_search_is_kept_while_the_codes_are_the_same() -> None:
    book, kept = trained(EmaCodebook), KeptSearch()

    def search() -> Search:
        return kept.among(lambda: book.centroids, book.sums, book.counts)

    first = search()
    assert search() is first
    place(book)
    assert search() is not first


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
