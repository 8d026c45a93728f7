"""Language models over tokens: what they learn, score, draw and code."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vqaudio.errors import ModelError, RecipeError, TokensError, TrainingError, VqaudioError
from vqaudio.patterns import PATTERNS, arrange
from vqaudio.prior import (
    Prior,
    PriorCoder,
    PriorConfig,
    PriorRecipe,
    Sequence,
    Taste,
    TokenSet,
    load_prior,
    load_prior_recipe,
    sample,
    save_prior,
    score,
    train_prior,
)
from vqaudio.prior.layout import NO_CODE, layout_of, stop_column
from vqaudio.prior.windows import Window, draw_windows, stack, windows_of

SIZES = (8, 4, 4)
CPU = torch.device("cpu")
SMALL = {"width": 32, "layers": 2, "heads": 2, "context_frames": 24, "dropout": 0.0}


def small(pattern: str = "delay", *, seed: int = 0, **more: object) -> Prior:
    torch.manual_seed(seed)
    speakers = ("a", "b") if more.get("condition") == "speaker" else ()
    config = PriorConfig.model_validate({**SMALL, "pattern": pattern, **more})
    return Prior(config, SIZES, speakers=speakers).eval()


def counting(num_frames: int, start: int = 0) -> np.ndarray:
    """Codes that are certain once the first is known."""
    frames = np.arange(start, start + num_frames)
    return np.stack([frames % 8, (frames // 2) % 4, (frames // 4 + 1) % 4]).astype(np.uint16)


def token_set(count: int = 40, num_frames: int = 30) -> TokenSet:
    sequences = [
        Sequence(f"{n}", counting(num_frames, n % 8), f"speaker {n % 20}", f"text {n}")
        for n in range(count)
    ]
    return TokenSet(sequences, "0" * 16, 16000, 320, SIZES)


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


def test_conditions_are_left_out_now_and_then_and_texts_begin_with_the_sound() -> None:
    tokens = token_set(num_frames=60)
    drawn = draw_windows(small(condition="text"), tokens, 200, np.random.default_rng(0))
    told = [window for window in drawn if window.condition]
    assert 150 < len(told) < 200
    assert all(
        window.codes[0, 0]
        == counting(
            1,
            int(
                bytes(i - small(condition="text").vocabulary.size for i in window.condition)
                .decode()
                .split()[1]
            )
            % 8,
        )[0, 0]
        for window in told[:20]
    )


@pytest.mark.parametrize("pattern", ["delay", "coarse-first"])
def test_a_prior_learns_what_is_certain(tmp_path: Path, pattern: str) -> None:
    recipe = PriorRecipe.model_validate(
        {
            "prior": {**SMALL, "pattern": pattern},
            "steps": 100,
            "batch_size": 8,
            "optimizer": {"learning_rate": 5e-3, "warmup_steps": 10},
            "validate_every": 100,
        }
    )
    tokens = token_set()
    path = train_prior(recipe, tokens, tmp_path / "run", device=CPU)
    file = load_prior(path)
    assert file.model == tokens.model
    held_out = tokens.split()[1]
    found = score(file.prior, held_out)
    assert found.bitrate.mean < 0.25 * found.nominal_bitrate
    assert found.facts()["sounds"] == len(held_out.sequences)
    # What it was taught, it goes on with.
    drawn = sample(file.prior, 40, prompt=counting(8, 3), taste=Taste(temperature=0.2))
    assert drawn.shape == (3, 40)
    assert (drawn == counting(40, 3)).mean() > 0.9
    coded = PriorCoder(file).encode(counting(60, 5), SIZES)
    assert len(coded) < 60 * 7 / 8 / 2  # 7 bits a frame
    np.testing.assert_array_equal(PriorCoder(file).decode(coded, SIZES, 60), counting(60, 5))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("num_frames", [1, 24, 25, 90])
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
    with pytest.raises(TokensError, match=r"the prior knows codebooks of \(8, 4, 4\)"):
        coder.decode(payload, (8, 4), num_frames)


@pytest.mark.parametrize("pattern", ["delay", "coarse-first"])
def test_drawing_is_lockstep_scoring(pattern: str) -> None:
    """Drawn codes are as likely as the scores say: many draws of the first code, counted."""
    prior = small(pattern)
    first = [int(sample(prior, 1, seed=seed)[0, 0]) for seed in range(100)]
    hidden = prior(torch.from_numpy(layout_of(pattern, SIZES, 1).ids[None, :, :1]).long())[0, -1]
    if pattern == "coarse-first":
        hidden = prior(torch.from_numpy(layout_of(pattern, SIZES, 1).ids[None, :, :2]).long())[
            0, -1
        ]
    likely = torch.softmax(prior.logits(hidden, 0), -1).detach().numpy()
    assert np.abs(np.bincount(first, minlength=8) / 100 - likely).max() < 0.2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_prompt_stays_and_a_seed_repeats(pattern: str) -> None:
    prior, prompt = small(pattern), counting(30)
    drawn = sample(prior, 77, prompt=prompt, seed=1)
    assert drawn.dtype == np.uint16
    assert (drawn < np.array(SIZES)[:, None]).all()
    np.testing.assert_array_equal(drawn[:, :30], prompt)
    np.testing.assert_array_equal(drawn, sample(prior, 77, prompt=prompt, seed=1))
    assert not np.array_equal(drawn, sample(prior, 77, prompt=prompt, seed=2))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_sound_may_end_by_itself(pattern: str) -> None:
    prior = small(pattern)
    lengths = {
        sample(prior, 20, until_end=True, seed=seed, prompt=counting(2)).shape[1]
        for seed in range(15)
    }
    assert max(lengths) <= 20
    assert 2 <= min(lengths) < 15
    assert len(lengths) > 3


def test_wrong_wishes_are_named() -> None:
    prior = small(condition="speaker")
    for wish, words in (
        ({"taste": Taste(temperature=0)}, "temperature must be above 0, got 0"),
        ({"taste": Taste(top_p=1.5)}, "top-p must be above 0 and at most 1, got 1.5"),
        ({"speaker": "z"}, "does not know a speaker 'z': it knows 2, such as a, b"),
        ({"text": "hello"}, "not trained with texts"),
        ({"prompt": counting(9)}, "3 levels and 9 frames does not begin 3 levels and 5 frames"),
    ):
        with pytest.raises(VqaudioError, match=words):
            sample(prior, 5, **wish)  # type: ignore[arg-type]


def test_a_run_that_was_stopped_ends_as_if_it_was_not(tmp_path: Path) -> None:
    values = {"prior": SMALL, "batch_size": 2, "validate_every": 4, "checkpoint_minutes": 0.0}
    tokens = token_set()
    whole = PriorRecipe.model_validate({**values, "steps": 6})
    expected = load_prior(train_prior(whole, tokens, tmp_path / "whole", device=CPU))
    run = tmp_path / "stopped"
    train_prior(whole, tokens, run, device=CPU)
    for state in sorted(run.glob("state-*.pt"))[1:]:  # the last one: as killed before it
        state.unlink()
    again = load_prior(train_prior(whole, tokens, run, device=CPU))
    assert again.fingerprint == expected.fingerprint
    with pytest.raises(TrainingError, match="began on other tokens"):
        train_prior(whole, token_set(count=20), run, device=CPU)
    other = PriorRecipe.model_validate({**values, "steps": 6, "batch_size": 3})
    with pytest.raises(TrainingError, match="they differ in batch_size"):
        train_prior(other, tokens, run, device=CPU)


def test_files_that_are_no_prior_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no prior at"):
        load_prior(tmp_path / "none.safetensors")
    path = tmp_path / "p.safetensors"
    save_prior(path, small(), model="0" * 16, sample_rate=16000, hop_length=320, card={"a": 1})
    assert load_prior(path).card == {"a": 1}
    whole = path.read_bytes()
    for damaged, words in (
        (whole[:-5], "cannot be read as a prior"),
        (whole[:-4] + b"abcd", "is damaged"),
        (whole.replace(b'"delay', b'"flat"', 1), "cannot|damaged|lacks|does not"),
        (b"", "cannot be read as a prior"),
    ):
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        with pytest.raises(ModelError, match=words):
            load_prior(tmp_path / "damaged.safetensors")
    from vqaudio.checkpoint import BUNDLED

    with pytest.raises(ModelError, match="but no prior of vqaudio"):
        load_prior(BUNDLED / "speech-16k.safetensors")


RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("prior-*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_a_prior(path: Path) -> None:
    recipe = load_prior_recipe(path)
    assert recipe.name == path.stem
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    [row] = [line for line in readme.splitlines() if f"({path.name})" in line]
    millions = Prior(recipe.prior, (1024,) * 8).num_parameters / 1e6
    assert f"| {millions:.2f} M |" in row


def test_recipes_name_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "prior.yaml"
    path.write_text("steps: 5\nprior: {width: 30, layer: 2}\n")
    with pytest.raises(RecipeError, match=r"prior\.layer: unknown key \(did you mean layers\?\)"):
        load_prior_recipe(path)
    path.write_text("steps: 5\nprior: {width: 30, heads: 4}\n")
    with pytest.raises(RecipeError, match=r"prior: width: must be a multiple of twice heads"):
        load_prior_recipe(path)
    path.write_text("steps: 5\n")
    assert load_prior_recipe(path, ["prior.pattern=flatten"]).prior.pattern == "flatten"
