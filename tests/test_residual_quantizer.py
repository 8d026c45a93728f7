"""Residual levels: gradients, staggered starts, dropout, masks, saved states."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vqaudio.quantizers import CodebookUsage, EmaCodebook, GradientCodebook, ResidualQuantizer
from vqaudio.quantizers.usage import count_codes


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def make(
    levels: int = 3,
    codebook_size: int = 16,
    dim: int = 4,
    *,
    kind: Callable[..., nn.Module] = EmaCodebook,
    decay: float = 0.99,
    dropout: float = 0.0,
    stagger: int = 0,
) -> ResidualQuantizer:
    def make_codebook() -> nn.Module:
        return kind(codebook_size, dim, decay=decay)

    return ResidualQuantizer(levels, make_codebook, dropout=dropout, stagger=stagger)


def placed(quantizer: ResidualQuantizer) -> ResidualQuantizer:
    """All levels at random places, the later ones finer."""
    for level, book in enumerate(quantizer.books):
        book.place(torch.randn(book.codebook_size, book.dim) / 2**level)
    return quantizer


def residuals_slowly(quantizer: ResidualQuantizer, codes: Tensor, x: Tensor) -> list[Tensor]:
    """What each level leaves of x, from the codes."""
    residuals = []
    for level, book in enumerate(quantizer.books):
        x = x - book.centroids.detach()[codes[..., level]]
        residuals.append(x)
    return residuals


def same_state(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def test_each_level_quantizes_what_the_ones_before_left() -> None:
    quantizer = placed(make()).eval()
    x = torch.randn(2, 30, 4)
    codes = quantizer(x).codes
    assert torch.equal(codes, quantizer.encode(x))
    residual = x
    for level, book in enumerate(quantizer.books):
        distances = (residual[..., None, :] - book.centroids).square().sum(dim=-1)
        assert torch.equal(codes[..., level], distances.argmin(dim=-1))
        residual = residuals_slowly(quantizer, codes, x)[level]
    torch.testing.assert_close(x - quantizer.decode(codes), residual)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_straight_through_in_value_and_gradient(mean: float) -> None:
    quantizer = placed(make())
    if mean:
        quantizer.books[0].place(mean + torch.randn(16, 4))
    quantizer.eval()
    x = (mean + torch.randn(2, 30, 4)).requires_grad_()
    answer = quantizer(x)
    torch.testing.assert_close(answer.latents, quantizer.decode(answer.codes))
    weights = torch.randn(2, 30, 4)
    (gradient,) = torch.autograd.grad((answer.latents * weights).sum(), x)
    assert torch.equal(gradient, weights)


@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
@pytest.mark.parametrize("training", [True, False])
def test_the_commitment_of_every_level_reaches_the_input(
    kind: type[EmaCodebook | GradientCodebook], training: bool
) -> None:
    quantizer = placed(make(levels=4, kind=kind)).train(training)
    before = copy.deepcopy(quantizer)
    x = torch.randn(3, 20, 4, requires_grad=True)
    answer = quantizer(x)
    residuals = torch.stack(residuals_slowly(before, answer.codes, x.detach()))
    torch.testing.assert_close(answer.commitment, residuals.square().mean())
    (gradient,) = torch.autograd.grad(answer.commitment, x)
    each = 2 * residuals / residuals.numel()
    assert (each.abs().amax(dim=(1, 2, 3)) > 1e-4).all()
    torch.testing.assert_close(gradient, each.sum(dim=0))


def test_the_codebook_loss_reaches_every_level_and_not_the_input() -> None:
    quantizer = placed(make(levels=4, kind=GradientCodebook))
    x = torch.randn(3, 20, 4, requires_grad=True)
    quantizer(x).codebook_loss.backward()
    assert x.grad is None
    for book in quantizer.parameters():
        assert book.grad is not None
        assert book.grad.abs().max() > 0


@pytest.mark.parametrize("leading", [(24,), (2, 12), (2, 3, 4), (2, 2, 2, 3)])
def test_any_number_of_leading_dimensions(leading: tuple[int, ...]) -> None:
    folded = make()
    flat = copy.deepcopy(folded)
    for _ in range(3):
        x = torch.randn(*leading, 4)
        mask = torch.rand(leading) < 0.8
        a, b = folded(x, mask), flat(x.view(-1, 4), mask.flatten())
        assert a.latents.shape == x.shape
        assert a.codes.shape == (*leading, 3)
        assert torch.equal(a.codes.view(-1, 3), b.codes)
        assert torch.equal(a.latents.view(-1, 4), b.latents)
    assert same_state(folded, flat)
    codes = folded.encode(x, 2)
    assert codes.shape == (*leading, 2)
    assert torch.equal(codes.view(-1, 2), flat.encode(x.view(-1, 4), 2))
    assert folded.decode(codes).shape == x.shape


def test_levels_start_one_after_the_other_on_the_residual_of_a_later_batch() -> None:
    quantizer = make(levels=3, codebook_size=16, stagger=5)
    for step in range(13):
        x = torch.randn(40, 10, 4)
        before = copy.deepcopy(quantizer)
        answer = quantizer(x)
        in_use = min(step // 5 + 1, 3)
        assert [book.started for book in quantizer.books] == [k < in_use for k in range(3)]
        assert (answer.codes[..., :in_use] >= 0).all()
        assert (answer.codes[..., in_use:] == -1).all()
        assert (answer.restarts[in_use:] == 0).all()
        if step % 5:
            torch.testing.assert_close(answer.latents, before.decode(answer.codes[..., :in_use]))
        else:
            # The new level has just been placed on what the others, as they were, leave here.
            level = step // 5
            residual = x
            if level:
                found = residuals_slowly(before, answer.codes.clamp(min=0), x)
                residual = found[level - 1]
            means = torch.stack(
                [residual[answer.codes[..., level] == code].mean(dim=0) for code in range(16)]
            )
            torch.testing.assert_close(
                quantizer.books[level].centroids, means, rtol=0.0, atol=0.2 * float(residual.std())
            )
    quantizer.eval()
    assert (quantizer(x).codes >= 0).all()


def test_evaluation_uses_only_started_levels() -> None:
    quantizer = make(levels=3, stagger=5)
    for _ in range(6):
        quantizer(torch.randn(40, 10, 4))
    quantizer.eval()
    quantizer.updates += 100
    x = torch.randn(2, 10, 4)
    answer = quantizer(x)
    assert (answer.codes[..., 2] == -1).all()
    torch.testing.assert_close(quantizer.decode(quantizer.encode(x)), answer.latents)


def test_a_level_that_starts_on_a_fresh_residual_does_not_collapse() -> None:
    """As many codes as vectors: on its own batch, level 0 leaves nothing to learn from."""

    def second_level(stagger: int) -> tuple[float, float]:
        torch.manual_seed(1)
        quantizer = make(levels=2, codebook_size=64, dim=8, stagger=stagger)
        for _ in range(stagger + 1):
            answer = quantizer(torch.randn(1, 64, 8))
        assert (answer.codes[..., 1] >= 0).all()
        codes = quantizer.encode(torch.randn(1, 2000, 8))[..., 1]
        usage = CodebookUsage.from_counts(count_codes(codes, 64))
        return float(quantizer.books[1].centroids.norm(dim=1).mean()), usage.perplexity

    fresh, learnt_by_heart = second_level(5), second_level(0)
    assert fresh[0] > 1.0  # the residual of level 0 on other vectors has a norm of about 2
    assert fresh[1] > 20.0
    assert learnt_by_heart[0] < 1e-3


def test_more_levels_come_nearer() -> None:
    quantizer = make(levels=4, codebook_size=32, dim=4, decay=0.9, dropout=0.5, stagger=10)
    for _ in range(60):
        quantizer(torch.randn(16, 20, 4))
    x = torch.randn(500, 4)
    codes = quantizer.encode(x)
    errors = []
    for level in range(1, 5):
        prefix = quantizer.encode(x, level)
        assert torch.equal(prefix, codes[..., :level])
        errors.append(float((quantizer.decode(prefix) - x).square().mean()))
    assert all(more < 0.6 * fewer for fewer, more in itertools.pairwise(errors))


def test_an_item_without_a_level_leaves_it_alone() -> None:
    quantizer = placed(make(levels=4, codebook_size=6, decay=0.5, dropout=1.0))
    before = copy.deepcopy(quantizer)
    x = torch.randn(200, 7, 4)
    answer = quantizer(x)
    used = answer.codes >= 0
    assert torch.equal(used, used[:, :1].expand_as(used))  # the same for all of an item
    lengths = used[:, 0].sum(dim=-1)
    assert torch.equal(used[:, 0], torch.arange(4) < lengths[:, None])  # the first levels
    shares = torch.bincount(lengths, minlength=5)[1:] / 200
    assert (shares - 0.25).abs().max() < 0.12  # uniform over 1 to 4
    for level, (book, old) in enumerate(zip(quantizer.books, before.books, strict=True)):
        counted = 0.5 * old.counts + 0.5 * count_codes(answer.codes[..., level], 6)
        alive = counted >= 0.1 * counted.mean()
        torch.testing.assert_close(book.counts[alive], counted[alive])
    for item in range(200):
        n = int(lengths[item])
        torch.testing.assert_close(answer.latents[item], before.decode(answer.codes[item, :, :n]))
    full = torch.stack(residuals_slowly(before, answer.codes.clamp(min=0), x))
    each = [full[level][used[..., level]].square().mean() for level in range(4)]
    torch.testing.assert_close(answer.commitment, torch.stack(each).mean())


def test_dropout_happens_in_training_only_and_as_often_as_asked() -> None:
    quantizer = placed(make(levels=2, dropout=0.5))
    x = torch.randn(1000, 1, 4)
    # Half of the items draw a length, and half of the lengths are 1.
    assert float((quantizer(x).codes[..., 1] == -1).double().mean()) == pytest.approx(
        0.25, abs=0.05
    )
    assert (quantizer.eval()(x).codes >= 0).all()


def test_items_that_all_skip_the_last_level_do_not_break_its_start() -> None:
    quantizer = make(levels=8, dropout=1.0)
    for _ in range(40):
        answer = quantizer(torch.randn(1, 50, 4))
        assert answer.latents.isfinite().all()
        assert answer.commitment.isfinite()
    assert all(book.started and book.centroids.isfinite().all() for book in quantizer.books)


def test_padding_never_enters_at_any_level() -> None:
    padded, other, bare = (make(stagger=4, decay=0.7) for _ in range(3))
    restarts = 0
    for step in range(30):
        x = torch.randn(4, 20, 4) + (5.0 if step > 15 else 0.0)
        mask = torch.arange(20) < torch.tensor([20, 3, 0, 11])[:, None]
        a = padded(x.masked_fill(~mask[..., None], float("inf")), mask)
        b = other(x.masked_fill(~mask[..., None], -7.0), mask)
        c = bare(x[mask])
        assert torch.equal(a.codes, b.codes)
        assert (a.codes[~mask] == -1).all()
        assert torch.equal(a.codes[mask], c.codes)
        torch.testing.assert_close(a.latents[mask], c.latents)
        torch.testing.assert_close(a.commitment, c.commitment)
        restarts += int(a.restarts.sum())
    assert restarts > 0
    assert same_state(padded, other)


def test_float32_inside_autocast() -> None:
    inside = make(kind=GradientCodebook)
    outside = copy.deepcopy(inside)
    for _ in range(3):
        x = (10 + torch.randn(50, 4)).bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            a, codes = inside(x), inside.encode(x)
            decoded = inside.decode(codes)
        b = outside(x.float())
        assert a.latents.dtype == a.commitment.dtype == decoded.dtype == torch.float32
        assert torch.equal(a.codes, b.codes)
        assert torch.equal(a.latents, b.latents)
        assert torch.equal(codes, outside.encode(x.float()))
    assert same_state(inside, outside)


def test_evaluation_and_encoding_change_nothing() -> None:
    quantizer = make(stagger=2)
    for _ in range(4):
        quantizer(torch.randn(50, 4))
    before = copy.deepcopy(quantizer)
    x = torch.randn(50, 4)
    assert quantizer.training
    codes = quantizer.encode(x)  # in training mode
    assert same_state(quantizer, before)
    assert not quantizer.books[2].started
    quantizer.eval()
    quantizer(x)
    assert torch.equal(quantizer.encode(x), codes)
    assert same_state(quantizer, before)


@pytest.mark.parametrize("kind", [EmaCodebook, GradientCodebook])
def test_a_saved_quantizer_continues_as_if_nothing_had_happened(
    kind: type[EmaCodebook | GradientCodebook],
) -> None:
    quantizer = make(kind=kind, decay=0.7, stagger=5)
    batches = [torch.randn(4, 20, 4) + (step > 14) * 5.0 for step in range(30)]
    for x in batches[:7]:  # one level has not started yet
        quantizer(x)
    loaded = make(kind=kind, decay=0.7, stagger=5)
    loaded.load_state_dict(copy.deepcopy(quantizer.state_dict()))
    restarts = 0
    for x in batches[7:]:
        a, b = quantizer(x), loaded(x)
        assert torch.equal(a.codes, b.codes)
        restarts += int(a.restarts.sum())
    assert restarts > 0
    assert same_state(quantizer, loaded)
