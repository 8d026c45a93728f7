"""The losses over judgements: known values, gradients, who is pushed where."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vqaudio.discriminators import Judgement
from vqaudio.losses import discriminator_loss, feature_loss, generator_loss


def judgements(*scores: float, feature: float = 1.0) -> list[Judgement]:
    """One discriminator for each score, of unlike sizes, with two layers of features."""
    return [
        Judgement(
            torch.full((2, 1, 3 + i), score),
            (torch.full((2, 4, 5), feature), torch.full((2, 4, 3), -100 * feature)),
        )
        for i, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        ((0.0, 0.0), (0.0, 0.0), 2.0),  # nothing told apart
        ((1.0, 5.0), (-1.0, -9.0), 0.0),  # all by a margin
        ((-1.0, -1.0), (1.0, 1.0), 4.0),  # all the wrong way round
        ((1.0, 0.0), (-1.0, 0.0), 1.0),  # one of two: each counts the same
    ],
)
def test_the_discriminators_hinge(
    real: tuple[float, ...], fake: tuple[float, ...], expected: float
) -> None:
    assert discriminator_loss(judgements(*real), judgements(*fake)).item() == expected


def test_what_is_told_apart_has_no_gradient() -> None:
    scores = torch.tensor([[0.5, 2.0]], requires_grad=True)
    discriminator_loss([Judgement(scores, ())], judgements(-2.0)).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-0.5, 0.0]]


def test_the_codec_wants_high_scores_however_high_they_are() -> None:
    assert generator_loss(judgements(1.0, -3.0)).item() == 1.0
    scores = torch.tensor([[-10.0, 10.0]], requires_grad=True)
    generator_loss([Judgement(scores, ())]).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-0.5, -0.5]]


def test_features_count_as_fractions_of_the_real_ones() -> None:
    real, fake = judgements(0.0, 0.0, feature=2.0), judgements(0.0, 0.0, feature=1.0)
    assert feature_loss(real, fake).item() == 0.5  # the layer of 100 counts no more than that of 1
    assert feature_loss(real, real).item() == 0
    assert feature_loss(judgements(0.0, feature=0.0), fake[:1]).isfinite()


def test_the_gradient_of_feature_matching_is_the_fakes() -> None:
    wanted, found = (torch.ones(1, 2, 3, requires_grad=True) for _ in range(2))
    real = [Judgement(torch.zeros(1, 1, 1), (wanted,))]
    feature_loss(real, [Judgement(torch.zeros(1, 1, 1), (2 * found,))]).backward()
    assert wanted.grad is None
    torch.testing.assert_close(found.grad, torch.full((1, 2, 3), 2 / 6))


def test_lists_of_unlike_lengths_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        discriminator_loss(judgements(1.0, 1.0), judgements(1.0))


def test_they_are_computed_in_float32() -> None:
    def halved(judgement: Judgement) -> Judgement:
        features = tuple(feature.bfloat16() for feature in judgement.features)
        return Judgement(judgement.scores.bfloat16(), features)

    real, fake = ([halved(j) for j in judgements(0.3, 0.1, feature=f)] for f in (1.0, 1.5))
    losses: list[Tensor] = [
        discriminator_loss(real, fake),
        generator_loss(fake),
        feature_loss(real, fake),
    ]
    assert [loss.dtype for loss in losses] == [torch.float32] * 3
