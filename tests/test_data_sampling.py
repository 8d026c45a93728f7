"""Which utterance comes next: shares of corpora, of speakers within them, of files by length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vqaudio.corpora import Utterance
from vqaudio.data import CorpusShare
from vqaudio.data.sampling import Sampler
from vqaudio.errors import CorpusError
from vqaudio.recipe import DataConfig, load_recipe
from vqaudio.train.speech import find_speech

TINY = Path(__file__).parent.parent / "recipes" / "tiny.yaml"

DRAWS = 2000
TOLERANCE = 0.035
"""Three standard deviations of a share of a half, which varies most."""


def utterance(speaker: str, seconds: float) -> Utterance:
    return Utterance(Path(f"{speaker} {seconds}"), speaker, seconds)


def draws(shares: list[CorpusShare], *, speaker_balance: float, seed: int = 0) -> list[Utterance]:
    sampler = Sampler(shares, speaker_balance=speaker_balance)
    random = np.random.default_rng(seed)
    return [sampler.draw(random) for _ in range(DRAWS)]


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.9), (0.5, 0.75), (1.0, 0.5)])
def test_speaker_balance(balance: float, share: float) -> None:
    """One speaker has nine times the other's speech."""
    both = [utterance("long", 3.0)] * 3 + [utterance("short", 1.0)]
    drawn = draws([CorpusShare(both)], speaker_balance=balance)
    assert np.mean([u.speaker == "long" for u in drawn]) == pytest.approx(share, abs=TOLERANCE)


def test_long_files_are_drawn_more_often_than_short_ones() -> None:
    drawn = draws([CorpusShare([utterance("a", 9.0), utterance("a", 1.0)])], speaker_balance=0.5)
    assert np.mean([u.seconds == 9 for u in drawn]) == pytest.approx(0.9, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("weights", "share"), [((None, None), 0.9), ((1.0, 1.0), 0.5), ((0.5, 1.5), 0.25)]
)
def test_corpora_have_their_shares(weights: tuple[float | None, ...], share: float) -> None:
    """The first has nine times the second's speech, and three speakers."""
    long = [utterance(speaker, 3.0) for speaker in "abc"]
    shares = [
        CorpusShare([], None),  # for validation only
        CorpusShare([utterance("e", 0.0)], weights[0]),
        CorpusShare(long, weights[0]),
        CorpusShare([utterance("d", 1.0)], weights[1]),
    ]
    drawn = draws(shares, speaker_balance=1.0)
    assert np.mean([u in long for u in drawn]) == pytest.approx(share, abs=TOLERANCE)
    for speaker in "abc":  # of the same length each
        mine = np.mean([u.speaker == speaker for u in drawn])
        assert mine == pytest.approx(share / 3, abs=TOLERANCE)


def test_a_draw_depends_on_the_generator_alone() -> None:
    everyone = [utterance(speaker, 1.0) for speaker in "abcdefgh"]
    shares = [CorpusShare(everyone)]
    assert draws(shares, speaker_balance=0.5) == draws(shares, speaker_balance=0.5)
    assert draws(shares, speaker_balance=0.5) != draws(shares, speaker_balance=0.5, seed=1)


def test_no_speech_or_none_with_a_length() -> None:
    empty = utterance("a", 0.0)
    for utterances in ([], [empty]):
        with pytest.raises(CorpusError, match="hold no speech to train on"):
            Sampler([CorpusShare(utterances)], speaker_balance=0.5)
    drawn = draws([CorpusShare([empty, utterance("b", 1.0)])], speaker_balance=1.0)
    assert {u.speaker for u in drawn} == {"b"}


def test_a_recipe_gives_all_corpora_a_weight_or_none() -> None:
    def config(*corpora: dict[str, Any]) -> DataConfig:
        named = [{"name": "folder", "root": "x", **corpus} for corpus in corpora]
        values = {"corpora": named, "batch_size": 2, "crop_seconds": 1.0}
        return DataConfig.model_validate(values)

    assert [c.weight for c in config({"weight": 1.0}, {"weight": 0.5}).corpora] == [1.0, 0.5]
    assert [c.weight for c in config({}, {}).corpora] == [None, None]
    config({"weight": 1.0}, {"train": []})  # for validation only
    with pytest.raises(ValidationError, match=r"corpora\.1\.weight: missing; give each corpus a"):
        config({"weight": 1.0}, {})
    with pytest.raises(ValidationError, match="greater than 0"):
        config({"weight": 0.0})


def test_the_weights_of_a_recipe_reach_training(speech_folder: Path) -> None:
    corpora = [f"{{name: folder, root: {speech_folder}, weight: {weight}}}" for weight in (2, 0.5)]
    speech = find_speech(load_recipe(TINY, [f"data.corpora=[{', '.join(corpora)}]"]))
    assert [share.weight for share in speech.shares] == [2, 0.5]
    assert len(speech.train) == sum(len(share.utterances) for share in speech.shares) > 0
