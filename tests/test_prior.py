"""Language models over tokens: what they score, draw and code."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from priors import SIZES, counting, small, token_set

from vqaudio.entropy import Frequencies, count
from vqaudio.errors import TokensError, VqaudioError
from vqaudio.patterns import PATTERNS, arrange
from vqaudio.prior import (
    Prior,
    PriorCoder,
    PriorConfig,
    PriorFile,
    Sequence,
    Taste,
    TokenSet,
    compare,
    load_prior,
    sample,
    save_prior,
    score,
)
from vqaudio.prior.layout import NO_CODE, layout_of, stop_column
from vqaudio.prior.stepping import Choose
from vqaudio.prior.windows import Draws, Window, stack, windows_of


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("num_frames", [0, 1, 2, 7])
def test_a_layout_says_where_the_codes_are(pattern: str, num_frames: int) -> None:
    codes = np.random.default_rng(0).integers(0, np.array(SIZES)[:, None], (3, num_frames))
    layout = layout_of(pattern, SIZES, num_frames)
    np.testing.assert_array_equal(layout.fill(codes), arrange(codes, SIZES, pattern))
    assert (layout.levels != NO_CODE).sum() == 3 * num_frames
    column = stop_column(pattern, SIZES, num_frames)
    longer = layout_of(pattern, SIZES, num_frames + 1)
    assert longer.levels[0, column] == 0
    np.testing.assert_array_equal(longer.levels[:, :column], layout.levels[:, :column])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scores_are_those_of_one_column_after_the_other(pattern: str) -> None:
    """The slow twin: every code by a network that has not seen it, or what comes after it."""
    prior, codes = small(pattern), counting(5)
    layout = layout_of(pattern, SIZES, 5)
    ids = torch.from_numpy(layout.fill(codes)).long()
    expected = torch.zeros(3, dtype=torch.float64)
    for column in range(1, layout.num_columns):
        for row in np.flatnonzero(layout.levels[:, column] != NO_CODE):
            level = int(layout.levels[row, column])
            hidden = prior(ids[None, :, :column])[0, -1]
            logs = torch.log_softmax(prior.logits(hidden, level).double(), -1)
            code = codes[level, layout.frames[row, column]]
            expected[level] -= logs[int(code)].detach() / math.log(2)
    found = prior.score(*stack(prior, [Window(codes, [], True)]))
    torch.testing.assert_close(found.bits[0].double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_padding_and_batch_mates_change_no_score(pattern: str) -> None:
    prior = small(pattern)
    windows = [Window(counting(n), [], n != 5) for n in (1, 24, 5)]
    together = prior.score(*stack(prior, windows))
    for place, window in enumerate(windows):
        alone = prior.score(*stack(prior, [window]))
        torch.testing.assert_close(together.bits[place], alone.bits[0])
        torch.testing.assert_close(together.stop_bits[place], alone.stop_bits[0])


def test_the_end_counts_where_it_is_in_sight() -> None:
    prior = small()
    with_end, without = (
        prior.score(*stack(prior, [Window(counting(5), [], is_last)])) for is_last in (True, False)
    )
    torch.testing.assert_close(with_end.bits, without.bits)
    assert with_end.stop_bits > without.stop_bits > 0


def test_windows_hold_each_frame_once() -> None:
    prior = small(condition="speaker")
    sequence = Sequence("x", counting(50), "b", None)
    windows = list(windows_of(prior, sequence))
    assert [w.codes.shape[1] for w in windows] == [24, 24, 2]
    assert [w.is_last for w in windows] == [False, False, True]
    np.testing.assert_array_equal(np.concatenate([w.codes for w in windows], 1), sequence.codes)
    assert {tuple(w.condition) for w in windows} == {(prior.vocabulary.size + 2,)}


def test_a_text_comes_before_the_first_window_and_no_other() -> None:
    prior = small(condition="text")
    sequence = Sequence("x", counting(50), "b", "words")
    expected = prior.condition(text="words")
    assert [w.condition for w in windows_of(prior, sequence)] == [expected, [], []]
    assert len(prior.condition(text="é" * 1000)) == 4 * 24


def test_who_nobody_knows_is_nobody() -> None:
    sequences = [Sequence(f"{n}", counting(5), None, None) for n in range(30)]
    tokens = TokenSet([*sequences, Sequence("x", counting(5), "me", None)], "", 16000, 320, SIZES)
    train, held_out = tokens.split()
    assert 1 <= len(held_out.sequences) < 10
    assert len(train.sequences) + len(held_out.sequences) == 31
    assert tokens.speakers == ["me"]
    prior = small(condition="speaker")
    assert prior.condition(speaker=None) == prior.condition(speaker="?") == [prior.vocabulary.size]


@pytest.mark.parametrize("condition", ["speaker", "text"])
def test_training_hears_each_frame_and_each_end_as_often(condition: str) -> None:
    prior = small(condition=condition, layers=1)
    lengths = [5, 24, 25, 60]
    ends = np.cumsum(lengths)
    frames = np.stack(np.unravel_index(np.arange(ends[-1]), SIZES)).astype(np.uint16)
    sequences = [Sequence("x", codes, "a", "text") for codes in np.split(frames, ends[:-1], axis=1)]
    tokens = TokenSet(sequences, "0" * 16, 16000, 320, SIZES)
    drawn = Draws(prior, tokens).draw(4000, np.random.default_rng(0))
    heard, told, begun = np.zeros(ends[-1]), 0, 0
    for codes, condition_ids, is_last in drawn:
        places = np.ravel_multi_index(codes, SIZES)
        heard[places] += 1
        assert is_last == (places[-1] + 1 in ends)
        begins = condition == "speaker" or places[0] in {0, *ends}
        begun += begins
        told += condition_ids != prior.condition()
        assert begins or not condition_ids
    np.testing.assert_allclose(heard, heard.mean(), rtol=0.2)
    assert 0.87 < told / begun < 0.93


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("num_frames", [1, 24, 73])
def test_coding_loses_nothing(tmp_path: Path, pattern: str, num_frames: int) -> None:
    prior = small(pattern, layers=1)
    save_prior(tmp_path / "p", prior, model="0" * 16, sample_rate=16000, hop_length=320, card={})
    coder = PriorCoder(load_prior(tmp_path / "p"))
    random = np.random.default_rng(num_frames)
    codes = random.integers(0, np.array(SIZES)[:, None], (3, num_frames)).astype(np.uint16)
    payload = coder.encode(codes, SIZES)
    np.testing.assert_array_equal(coder.decode(payload, SIZES, num_frames), codes)
    tokens = TokenSet([Sequence("x", codes, "x", None)], "0" * 16, 16000, 320, SIZES)
    expected = score(prior, tokens).bitrate.mean * num_frames / 50
    assert abs(8 * len(payload) - expected) < 70 + 0.01 * expected
    with pytest.raises(TokensError):
        coder.decode(payload[:-3], SIZES, num_frames)
    with pytest.raises(TokensError, match="cannot hold 100000000 frames"):
        coder.decode(payload, SIZES, 100_000_000)
    with pytest.raises(TokensError, match=r"is for codebooks of 8 \+ 4 \+ 4, these are 8 \+ 4"):
        coder.decode(payload, (8, 4), num_frames)


def file_of(prior: Prior) -> PriorFile:
    return PriorFile(prior, "0" * 16, 16000, 320, "f" * 16, {})


def test_a_coder_has_a_prior_of_its_own() -> None:
    prior = small(layers=1, dropout=0.5)
    codes = counting(30)
    coder = PriorCoder(file_of(prior))
    payload = coder.encode(codes, SIZES)
    prior.train().to(torch.bfloat16)
    np.testing.assert_array_equal(coder.decode(payload, SIZES, 30), codes)


def test_codes_that_are_certain_are_coded_too() -> None:
    """Codebooks of one code, and of two of which one is as good as certain, for a long time."""
    sizes = (1, 2)
    prior = Prior(PriorConfig(width=4, heads=1, layers=1, pattern="parallel"), sizes).eval()
    coder = PriorCoder(file_of(prior))

    def certain(num_frames: int, batch: int, choose: Choose) -> torch.Tensor:
        logits = torch.tensor([30.0, -30.0]).expand(batch, 2)
        found = [
            torch.stack([choose(logits[:, :size], level, frame) for frame in range(num_frames)], 1)
            for level, size in enumerate(sizes)
        ]
        return torch.stack(found, 1)

    coder._walk = certain  # type: ignore[method-assign]
    num_frames = 150_000
    codes = np.zeros((2, num_frames), np.uint16)
    payload = coder.encode(codes, sizes)
    assert 100 < 8 * len(payload) < 200
    np.testing.assert_array_equal(coder.decode(payload, sizes, num_frames), codes)
    assert coder.decode(coder.encode(codes[:, :0], sizes), sizes, 0).shape == (2, 0)


class Noting(NamedTuple):
    """Draws as learnt, and notes how surprising that was."""

    bits: list[float]

    def check(self) -> None: ...

    def draw(self, logits: torch.Tensor, generator: torch.Generator) -> int:
        code = Taste().draw(logits, generator)
        self.bits.append(-float(torch.log_softmax(logits, -1)[code]) / math.log(2))
        return code


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_drawn_is_as_surprising_as_the_scores_say(pattern: str) -> None:
    prior, taste = small(pattern), Noting([])
    codes = sample(prior, 12, taste=taste)  # type: ignore[arg-type]
    found = prior.score(*stack(prior, [Window(codes, [], True)]))
    assert found.bits.sum().item() == pytest.approx(sum(taste.bits), rel=1e-4)


def test_a_taste_draws_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    likely = torch.tensor([0.5, 0.3, 0.15, 0.05])

    def drawn(taste: Taste) -> list[float]:
        codes = [taste.draw(likely.log(), generator) for _ in range(500)]
        return (np.bincount(codes, minlength=4) / 500).tolist()

    assert drawn(Taste()) == pytest.approx(likely.tolist(), abs=0.07)
    assert drawn(Taste(top_p=0.7)) == pytest.approx([0.625, 0.375, 0, 0], abs=0.07)
    assert drawn(Taste(temperature=0.5)) == pytest.approx([0.685, 0.247, 0.062, 0.007], abs=0.07)
    assert drawn(Taste(temperature=1e-40, top_p=1e-9)) == [1, 0, 0, 0]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_prompt_stays_and_a_seed_repeats(pattern: str) -> None:
    prior, prompt = small(pattern, layers=1), counting(30)
    drawn, again, other = (sample(prior, 55, prompt=prompt, seed=seed) for seed in (1, 1, 2))
    assert drawn.dtype == np.uint16
    assert (drawn < np.array(SIZES)[:, None]).all()
    np.testing.assert_array_equal(drawn[:, :30], prompt)
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, other)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_sound_may_end_by_itself(pattern: str) -> None:
    """Whatever the taste: by top-p alone a code of nine would go on for ever."""
    prior = small(pattern, layers=1)
    taste = Taste(top_p=0.05)
    lengths = {
        sample(prior, 16, until_end=True, seed=seed, prompt=counting(2), taste=taste).shape[1]
        for seed in range(8)
    }
    assert max(lengths) <= 16
    assert 2 <= min(lengths) < 12
    assert len(lengths) > 3


def test_a_text_is_said_in_the_first_window() -> None:
    prior = small(condition="text", layers=1)
    say = partial(sample, prior, text="words")
    drawn = say(40)
    np.testing.assert_array_equal(drawn[:, :24], say(24))
    np.testing.assert_array_equal(drawn, sample(prior, 40, text="words"))
    assert not np.array_equal(drawn[:, :24], sample(prior, 24))
    with pytest.raises(VqaudioError, match="before a prompt of 24 frames, and the prior sees 24"):
        say(30, prompt=counting(24))


def test_wrong_wishes_are_named() -> None:
    prior = small(condition="speaker")
    for wish, words in (
        ({"taste": Taste(temperature=0)}, "temperature must be above 0, got 0"),
        ({"taste": Taste(top_p=1.5)}, "top-p must be above 0 and at most 1, got 1.5"),
        ({"speaker": "z"}, "does not know a speaker 'z': it knows 2, such as a, b"),
        ({"text": "hello"}, "not trained with texts"),
        ({"prompt": counting(9)}, r"shape \[3, 9\] does not begin codes of \[3, 5\]"),
        ({"prompt": np.arange(3)}, r"shape \[3\] does not begin"),
        ({"prompt": np.full((3, 2), 4)}, "beyond the prior's codebooks"),
        ({"prompt": np.full((3, 2), -1)}, "beyond the prior's codebooks"),
    ):
        with pytest.raises(VqaudioError, match=words):
            sample(prior, 5, **wish)  # type: ignore[arg-type]


def test_a_comparison_is_of_the_same_sounds() -> None:
    prior, tokens = small(layers=1), token_set(count=8)
    counts = [level.astype(np.uint32) for level in count(counting(100), SIZES)]
    table = Frequencies(tuple(counts), tokens.model)
    found = compare(prior, tokens, table)
    assert found.static is not None
    assert found.saved is not None
    assert found.saved.mean == pytest.approx(found.static.mean - found.prior.bitrate.mean)
    assert found.saved.low < found.saved.mean < found.saved.high
    assert found.prior.sound_bits == score(prior, tokens).sound_bits
    with pytest.raises(TokensError, match=f"the table is of model {'1' * 16}, the tokens are of"):
        compare(prior, tokens, Frequencies(tuple(counts), "1" * 16))
