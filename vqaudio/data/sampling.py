"""Which utterance comes next: corpora by their shares, speakers balanced, long files more often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.corpora import Utterance
from vqaudio.errors import CorpusError


class CorpusShare(NamedTuple):
    """The utterances of one corpus, and how much of training it is."""

    utterances: Sequence[Utterance]
    weight: float | None = None
    """Share of the crops, relative to the weights of the other corpora; where no corpus has one,
    they share by seconds of speech."""


class _Speakers(NamedTuple):
    """The speakers of one corpus."""

    odds: NDArray[np.float64]
    """Cumulative, one per speaker."""
    utterances: list[list[Utterance]]
    """Of each speaker."""
    utterance_odds: list[NDArray[np.float64]]
    """Cumulative, for each speaker one per utterance."""


class Sampler:
    """Draws a corpus by its weight, then a speaker by seconds of speech to the power of
    1 - `speaker_balance`, then an utterance by its seconds.

    Utterances without a length are left out. Raises CorpusError when nothing is left.
    """

    def __init__(self, corpora: Sequence[CorpusShare], *, speaker_balance: float) -> None:
        given = {share.weight is None for share in corpora if share.utterances}
        assert len(given) <= 1, "all weights or none"
        self.corpora: list[_Speakers] = []
        weights = []
        for share in corpora:
            by_speaker: dict[str, list[Utterance]] = defaultdict(list)
            for utterance in share.utterances:
                if utterance.seconds > 0:
                    by_speaker[utterance.speaker].append(utterance)
            if not by_speaker:
                continue
            groups = [by_speaker[speaker] for speaker in sorted(by_speaker)]
            lengths = [np.array([u.seconds for u in group]) for group in groups]
            seconds = np.array([group.sum() for group in lengths])
            weights.append(seconds.sum() if share.weight is None else share.weight)
            self.corpora.append(
                _Speakers(
                    _cumulative(seconds ** (1 - speaker_balance)),
                    groups,
                    [_cumulative(group) for group in lengths],
                )
            )
        if not self.corpora:
            raise CorpusError("the corpora of the recipe hold no speech to train on.")
        self.odds = _cumulative(weights)

    def draw(self, random: np.random.Generator) -> Utterance:
        """The next utterance. Always takes three numbers from `random`."""
        places = random.random(3)
        corpus = self.corpora[_draw(self.odds, places[0])]
        speaker = _draw(corpus.odds, places[1])
        return corpus.utterances[speaker][_draw(corpus.utterance_odds[speaker], places[2])]


def _cumulative(weights: ArrayLike) -> NDArray[np.float64]:
    """[n] -> [n], rising to 1."""
    sums = np.cumsum(weights, dtype=np.float64)
    return np.asarray(sums / sums[-1])


def _draw(odds: NDArray[np.float64], place: float) -> int:
    # Not Generator.choice, which adds up all odds anew: 10 ms a draw for a million speakers.
    return int(np.searchsorted(odds, place, side="right"))
