"""Codebooks: moving averages, gradients, starts, restarts, masks, saved states, usage."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vqaudio.quantizers import CodebookUsage, EmaCodebook, GradientCodebook, nearest
from vqaudio.quantizers.batch import Batch
from vqaudio.quantizers.usage import count_codes

AnyCodebook = EmaCodebook | GradientCodebook
BOTH = pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """[N, D], [K, D] -> [N, K]."""
    return (a[:, None] - b).square().sum(dim=-1)


def move_slowly(
    counts: Tensor, sums: Tensor, vectors: Tensor, codes: Tensor, decay: float
) -> tuple[Tensor, Tensor]:
    """Counts [K] and sums [K, D] after one update, float64, one vector at a time."""
    counts, sums = decay * counts.double(), decay * sums.double()
    for vector, code in zip(vectors.double(), codes.tolist(), strict=True):
        counts[code] += (1 - decay) * 1
        sums[code] += (1 - decay) * vector
    return counts, sums


def with_counts(centroids: Tensor, counts: Tensor, **options: Any) -> EmaCodebook:
    """An EMA codebook in the middle of its training."""
    book = EmaCodebook(*centroids.shape, **options)
    book.place(centroids)
    book.counts.copy_(counts)
    book.sums.copy_(centroids * counts[:, None])
    return book


def same_state(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


# One step


def test_moving_averages_follow_the_formula() -> None:
    book = with_counts(torch.randn(16, 4), torch.rand(16) + 1, decay=0.9)
    for _ in range(5):
        x = torch.randn(200, 4)
        before = copy.deepcopy(book)
        answer = book(x)
        assert torch.equal(answer.codes, nearest(x, before.centroids))
        assert torch.equal(answer.vectors, before.centroids[answer.codes])
        counts, sums = move_slowly(before.counts, before.sums, x, answer.codes, 0.9)
        torch.testing.assert_close(book.counts.double(), counts, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(book.sums.double(), sums, rtol=1e-5, atol=1e-6)
        assert torch.equal(book.centroids, book.sums / book.counts[:, None])
        assert int(answer.restarts) == 0


@BOTH
def test_losses_and_their_gradients(kind: type[AnyCodebook]) -> None:
    book = kind(8, 3)
    book.place(torch.randn(8, 3))
    centroids = book.centroids.detach().clone()
    x = torch.randn(5, 7, 3, requires_grad=True)
    answer = book(x)
    assert torch.equal(answer.vectors, centroids[answer.codes])
    assert not answer.vectors.requires_grad
    difference = x.detach() - answer.vectors
    torch.testing.assert_close(answer.commitment, difference.square().mean())
    (gradient,) = torch.autograd.grad(answer.commitment, x)
    torch.testing.assert_close(gradient, 2 * difference / x.numel())


def test_the_codebook_loss_moves_chosen_codes_to_their_vectors() -> None:
    book = GradientCodebook(8, 3)
    book.place(torch.randn(8, 3))
    before = book.centroids.detach().clone()
    x = torch.randn(20, 3, requires_grad=True)
    answer = book(x)
    torch.testing.assert_close(answer.codebook_loss, (x - answer.vectors).square().mean())
    answer.codebook_loss.backward()
    assert x.grad is None
    assert book.weight.grad is not None
    with torch.no_grad():
        book.weight -= 0.1 * book.weight.grad  # one step of gradient descent
    for code in range(8):
        pull = (x[answer.codes == code] - before[code]).sum(dim=0) * 2 / x.numel()
        torch.testing.assert_close(book.centroids[code], before[code] + 0.1 * pull)
    assert not torch.equal(book.centroids, before)


def test_averages_need_no_gradient() -> None:
    book = EmaCodebook(8, 3)
    assert not list(book.parameters())
    answer = book(torch.randn(20, 3, requires_grad=True))
    assert float(answer.codebook_loss) == 0.0
    assert not answer.codebook_loss.requires_grad


@BOTH
@pytest.mark.parametrize("leading", [(24,), (2, 12), (2, 3, 4), (2, 2, 2, 3)])
def test_any_number_of_leading_dimensions(
    kind: type[AnyCodebook], leading: tuple[int, ...]
) -> None:
    x = torch.randn(*leading, 5)
    mask = torch.rand(leading) < 0.8
    folded, flat = kind(6, 5), kind(6, 5)
    for _ in range(3):
        a, b = folded(x, mask), flat(x.reshape(-1, 5), mask.reshape(-1))
        assert a.codes.shape == leading
        assert a.vectors.shape == x.shape
        assert torch.equal(a.codes.flatten(), b.codes)
        assert torch.equal(a.commitment, b.commitment)
    assert same_state(folded, flat)


def test_shapes_that_do_not_fit_are_refused() -> None:
    book = EmaCodebook(8, 3)
    with pytest.raises(ValueError, match=r"dimension 3 expected, got shape \(5, 4\)"):
        book(torch.randn(5, 4))
    for mask in torch.ones(5, 1, dtype=torch.bool), torch.ones(5):
        with pytest.raises(ValueError, match=r"bool of shape \(5,\), got"):
            book(torch.randn(5, 3), mask)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_inside_autocast(kind: type[AnyCodebook], dtype: torch.dtype) -> None:
    x = (10 + torch.randn(300, 16)).to(dtype)
    inside, outside = kind(32, 16), kind(32, 16)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            a = inside(x)
        b = outside(x.float())
        assert a.vectors.dtype == a.commitment.dtype == torch.float32
        assert torch.equal(a.codes, b.codes)
        assert torch.equal(a.commitment, b.commitment)
    assert same_state(inside, outside)


# Starts and restarts


@BOTH
def test_a_code_is_placed_by_hand(kind: type[AnyCodebook]) -> None:
    book = kind(8, 3)
    assert not book.started
    centroids = torch.randn(8, 3)
    book.place(centroids)
    assert book.started
    assert torch.equal(book.centroids, centroids)
    x = torch.randn(20, 3)
    assert torch.equal(book(x).codes, nearest(x, centroids))


@BOTH
def test_the_first_batch_places_the_codes_on_its_clusters(kind: type[AnyCodebook]) -> None:
    centres = 50 * torch.randn(10, 6)
    x = (centres + torch.randn(40, 10, 6)).reshape(-1, 6)
    book = kind(64, 6)
    answer = book(x)
    assert book.started
    assert answer.commitment < 1.0  # the mean square of the noise
    assert squared_distances(centres, book.centroids).amin(dim=1).max() < 6.0


@BOTH
def test_more_codes_than_vectors(kind: type[AnyCodebook]) -> None:
    x = torch.randn(5, 3)
    book = kind(64, 3)
    for _ in range(3):
        assert book(x).commitment < 1e-10
    assert squared_distances(book.centroids, x).amin(dim=1).max() < 1e-10


@BOTH
def test_a_batch_of_padding_does_not_start_a_codebook(kind: type[AnyCodebook]) -> None:
    book = kind(8, 3)
    padding = torch.zeros(20, dtype=torch.bool)
    answer = book(torch.randn(20, 3), padding)
    assert float(answer.commitment) == 0.0
    assert not book.started
    x = torch.randn(200, 3)
    assert book(x).commitment < x.square().mean() / 2
    assert book.started
    before = copy.deepcopy(book)
    book(torch.randn(20, 3), padding)
    assert same_state(book, before)


def test_a_restart_sets_count_and_sum_to_the_fair_share() -> None:
    counts = torch.tensor([10.0, 10, 10, 0.5, 10, 10, 0.5, 10])
    centroids = torch.randn(8, 4)
    centroids[[3, 6]] = 100.0  # where nothing comes
    book = with_counts(centroids, counts)
    x = torch.randn(80, 4)
    answer = book(x)
    moved, _ = move_slowly(counts, counts[:, None] * centroids, x, answer.codes, 0.99)
    assert int(answer.restarts) == 2
    torch.testing.assert_close(book.counts[[3, 6]].double(), moved.mean().expand(2))
    nearest_vector = squared_distances(book.centroids[[3, 6]], x).min(dim=1)
    assert nearest_vector.values.max() < 1e-10
    assert len(nearest_vector.indices.unique()) == 2
    alive = [0, 1, 2, 4, 5, 7]
    torch.testing.assert_close(book.counts[alive].double(), moved[alive])


def test_a_dead_code_of_the_gradient_mode_restarts_after_it_is_used() -> None:
    book = GradientCodebook(4, 2)
    book.place(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]))
    book.counts.copy_(torch.tensor([10.0, 10.0, 10.0, 0.1]))
    x = torch.cat([0.1 * torch.randn(30, 2), torch.tensor([[9.0, 9.5]])])
    answer = book(x)
    assert int(answer.restarts) == 1
    # The vector that chose the dying code still gets it, not the place it moved to.
    assert int(answer.codes[-1]) == 3
    assert answer.vectors[-1].tolist() == [9.0, 9.0]
    assert squared_distances(book.centroids[3:], x).min() == 0.0
    assert book.counts[3] > 1.0


@pytest.mark.parametrize("restart_below", [0.0, 0.1, 0.5])
def test_a_code_is_dead_below_its_fraction_of_the_fair_share(restart_below: float) -> None:
    counts = torch.tensor([1.0, 1.0, 0.01, 0.3, 1.0, 0.06])
    book = with_counts(torch.randn(6, 2), counts, restart_below=restart_below, decay=1 - 1e-6)
    dead = {0.0: 0, 0.1: 1, 0.5: 2}[restart_below]  # the mean is 0.56
    if restart_below == 0.1:
        book.counts[5] = 0.0562  # just above 0.1 x 0.562
    assert int(book(torch.randn(50, 2)).restarts) == dead


@BOTH
def test_without_restarts_unused_codes_stay_and_nothing_overflows(kind: type[AnyCodebook]) -> None:
    book = kind(8, 2, restart_below=0.0, decay=0.5)
    centroids = torch.randn(8, 2)
    centroids[3] = 50.0
    book.place(centroids)
    x = torch.randn(40, 2)
    for _ in range(50):
        assert int(book(x).restarts) == 0
    torch.testing.assert_close(book.centroids[3], centroids[3])
    for _ in range(200):  # 0.5 ** 250 is zero in float32
        book(x)
    assert book.centroids.isfinite().all()
    started = kind(64, 2, restart_below=0.0)
    started(x + 50.0)  # k-means leaves many codes empty
    assert squared_distances(started.centroids, x + 50.0).amin(dim=1).max() < 1e-6


def test_drawn_vectors_are_different_ones_from_all_of_the_batch() -> None:
    x = torch.arange(1000.0)[:, None]
    mask = torch.rand(1000) < 0.9
    drawn = [Batch(x, mask).draw(64, torch.tensor(turn))[:, 0].long() for turn in range(20)]
    for values in drawn:
        assert len(values.unique()) == 64
        assert mask[values].all()
        assert int(values.sort().values.diff().max()) < 3 * 1000 / 64
    assert all(len(values.unique()) > 16 for values in torch.stack(drawn, dim=1))  # by code
    few = Batch(x[:10], None).draw(64, torch.tensor(3))[:, 0]
    assert torch.bincount(few.long()).tolist() == pytest.approx([6.4] * 10, abs=2)


# Padding, evaluation, files


@BOTH
@pytest.mark.parametrize("garbage", [1e4, math.inf, math.nan])
def test_padding_never_enters(kind: type[AnyCodebook], garbage: float) -> None:
    padded, other, bare = (kind(24, 4, decay=0.7) for _ in range(3))
    restarts = 0
    for step in range(30):
        x = torch.randn(4, 20, 4) + (5.0 if step > 10 else 0.0)  # a jump kills codes
        mask = torch.arange(20) < torch.tensor([20, 3, 0, 11])[:, None]
        a = padded(x.masked_fill(~mask[..., None], garbage), mask)
        b = other(x.masked_fill(~mask[..., None], -7.0), mask)
        c = bare(x[mask])
        restarts += int(a.restarts)
        assert int(a.restarts) == int(b.restarts) == int(c.restarts)
        assert torch.equal(a.codes[mask], b.codes[mask])
        assert torch.equal(a.codes[mask], c.codes)
        assert torch.equal(a.commitment, b.commitment)
        torch.testing.assert_close(a.commitment, c.commitment)
        torch.testing.assert_close(a.codebook_loss, c.codebook_loss)
    assert restarts > 0
    assert same_state(padded, other)
    torch.testing.assert_close(padded.centroids, bare.centroids, rtol=1e-4, atol=1e-5)


@BOTH
def test_padding_gives_no_gradient(kind: type[AnyCodebook]) -> None:
    mask = torch.arange(20) < 12
    x = torch.randn(20, 4).masked_fill(~mask[:, None], math.nan).requires_grad_()
    book = kind(6, 4)
    book.place(torch.randn(6, 4))
    answer = book(x, mask)
    (answer.commitment + answer.codebook_loss).backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[:12], 2 * (x - answer.vectors)[:12].detach() / (12 * 4))
    assert not x.grad[12:].any()


@BOTH
def test_evaluation_changes_nothing(kind: type[AnyCodebook]) -> None:
    book = kind(16, 4)
    for _ in range(3):
        book(torch.randn(50, 4))
    before = copy.deepcopy(book)
    book.eval()
    answer = book(10 * torch.randn(50, 4))
    assert int(answer.restarts) == 0
    assert same_state(book, before)
    assert not kind(16, 4).eval()(torch.randn(50, 4)).codes.any()  # not started: all the same


@BOTH
def test_a_saved_codebook_continues_as_if_nothing_had_happened(kind: type[AnyCodebook]) -> None:
    book = kind(16, 4, decay=0.7)
    batches = [torch.randn(50, 4) + (step > 8) * 5.0 for step in range(24)]
    for x in batches[:6]:
        book(x)
    loaded = kind(16, 4, decay=0.7)
    loaded.load_state_dict(book.state_dict())
    assert loaded.started
    restarts = 0
    for x in batches[6:]:
        a, b = book(x), loaded(x)
        assert torch.equal(a.codes, b.codes)
        restarts += int(a.restarts)
    assert restarts > 0
    assert same_state(book, loaded)


# Health


def test_usage_of_known_counts() -> None:
    usage = CodebookUsage.from_counts(torch.tensor([8, 4, 2, 2, 0, 0, 0, 0]))
    assert usage.num_tokens == 16
    assert usage.used == 0.5
    assert usage.entropy == pytest.approx(1.75)
    assert usage.perplexity == pytest.approx(2**1.75)
    assert usage.efficiency == pytest.approx(1.75 / 3)
    assert CodebookUsage.from_counts(torch.zeros(4)) == CodebookUsage(0, 0.0, 0.0, 0.0, 0.0)
    assert CodebookUsage.from_counts(torch.tensor([7])) == CodebookUsage(7, 1.0, 1.0, 0.0, 1.0)
    assert CodebookUsage.from_counts(torch.tensor([0, 7])) == CodebookUsage(7, 0.5, 1.0, 0.0, 0.0)


def test_codes_are_counted_without_the_missing_ones() -> None:
    codes = torch.tensor([[0, 2, -1], [2, -1, 2]])
    assert count_codes(codes, 4).tolist() == [1, 0, 3, 0]
    assert count_codes(torch.full((2, 3), -1), 3).tolist() == [0, 0, 0]
    assert count_codes(torch.zeros(0, dtype=torch.int64), 2).tolist() == [0, 0]


@pytest.mark.parametrize("make", [EmaCodebook, GradientCodebook])
def test_vectors_that_are_not_finite_are_not_learnt_from(make: type) -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    spoilt = torch.cat([x, torch.full((3, 4), float("inf")), torch.full((2, 4), float("nan"))])
    clean, met = make(8, 4).train(), make(8, 4).train()
    mask = torch.arange(205) < 200
    for _ in range(3):
        clean(spoilt.nan_to_num(0.0, 0.0, 0.0), mask)
        met(spoilt)
    assert met.centroids.isfinite().all()
    torch.testing.assert_close(met.centroids, clean.centroids)
    torch.testing.assert_close(met.counts, clean.counts)
