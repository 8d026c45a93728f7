"""Language models over tokens: what they learn, and the files that they are kept in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from priors import SIZES, SMALL, counting, small, token_set

from vqaudio.errors import ModelError, RecipeError, TokensError, TrainingError
from vqaudio.prior import (
    Prior,
    PriorCoder,
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
from vqaudio.prior.train import _spread

CPU = torch.device("cpu")

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("prior-*.yaml"))


@pytest.mark.parametrize("pattern", ["delay", pytest.param("coarse-first", marks=pytest.mark.slow)])
def test_a_prior_learns_what_is_certain(tmp_path: Path, pattern: str) -> None:
    recipe = PriorRecipe.model_validate(
        {
            "prior": {**SMALL, "pattern": pattern},
            "steps": 60,
            "batch_size": 8,
            "optimizer": {"learning_rate": 1e-2, "warmup_steps": 5},
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
    drawn = sample(file.prior, 30, prompt=counting(8, 3), taste=Taste(temperature=0.2))
    assert drawn.shape == (3, 30)
    assert (drawn == counting(30, 3)).mean() > 0.9
    coded = PriorCoder(file).encode(counting(60, 5), SIZES)
    assert len(coded) < 60 * 7 / 8 / 2  # 7 bits a frame
    np.testing.assert_array_equal(PriorCoder(file).decode(coded, SIZES, 60), counting(60, 5))


@pytest.mark.parametrize("condition", ["speaker", "text"])
def test_what_a_prior_is_told_it_draws(tmp_path: Path, condition: str) -> None:
    sequences = [
        Sequence(f"{n}", np.full((3, 4), n % 4, np.uint16), f"s{n % 4} {n // 60}", f"say {n % 4}")
        for n in range(240)
    ]
    recipe = PriorRecipe.model_validate(
        {
            "prior": {**SMALL, "layers": 1, "condition": condition},
            "steps": 60,
            "optimizer": {"learning_rate": 2e-2, "warmup_steps": 5},
        }
    )
    tokens = TokenSet(sequences, "0" * 16, 16000, 320, SIZES)
    prior = load_prior(train_prior(recipe, tokens, tmp_path / "run", device=CPU)).prior
    train = tokens.split()[0].sequences
    for code in range(4):
        [told, *_] = [one for one in train if one.codes[0, 0] == code]
        words = {condition: getattr(told, condition)}
        drawn = sample(prior, 4, taste=Taste(temperature=0.2), **words)
        np.testing.assert_array_equal(drawn, told.codes)


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
    states = sorted(run.glob("state-*.pt"))
    (tmp_path / "whole" / "prior.safetensors").replace(run / "prior.safetensors")
    for state in states[1:]:  # killed between the prior's last file and the state's
        state.unlink()
    again = load_prior(train_prior(whole, tokens, run, device=CPU))
    assert again.fingerprint == expected.fingerprint
    with pytest.raises(TrainingError, match="began on other tokens"):
        train_prior(whole, token_set(count=20), run, device=CPU)
    other = PriorRecipe.model_validate({**values, "steps": 6, "batch_size": 3})
    with pytest.raises(TrainingError, match="they differ in batch_size"):
        train_prior(other, tokens, run, device=CPU)


@pytest.mark.parametrize("condition", ["speaker", "text"])
def test_a_condition_that_nobody_knows_is_refused(tmp_path: Path, condition: str) -> None:
    tokens = token_set(count=8)
    unknown = [one._replace(speaker=None, text=None) for one in tokens.sequences]
    recipe = PriorRecipe.model_validate({"prior": {**SMALL, "condition": condition}})
    with pytest.raises(TokensError, match=f"and no {condition} is known of any of these tokens"):
        train_prior(recipe, tokens._replace(sequences=unknown), tmp_path, device=CPU)


def test_validation_takes_as_long_as_it_is_told() -> None:
    long = token_set(count=4, num_frames=500)  # 10 s each
    for seconds in (1.0, 15.0, 1000.0):
        found = _spread(long, seconds)
        assert found.seconds == pytest.approx(min(seconds, long.seconds), abs=10)
        assert found.seconds <= max(seconds * 4 / 3, 1)


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
    for header in ({}, [], 1, {"format_version": 1}, {"format_version": 2}):
        lies = json.dumps({"__metadata__": {"vqaudio_prior": json.dumps(header)}}).encode()
        path.write_bytes(len(lies).to_bytes(8, "little") + lies)
        with pytest.raises(ModelError, match=r"lacks the header|does not hold|has prior format 2"):
            load_prior(path)
    from vqaudio.checkpoint import BUNDLED

    with pytest.raises(ModelError, match="but no prior of vqaudio"):
        load_prior(BUNDLED / "speech-16k.safetensors")


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
    for recipe in ("codec: {}\n", "init: speech-16k\nstages: []\n"):
        path.write_text(recipe)
        with pytest.raises(RecipeError, match=r"is a recipe for `vqaudio train`, which makes"):
            load_prior_recipe(path)
    with pytest.raises(RecipeError, match=r"codec: unknown key"):
        load_prior_recipe(None, ["codec.causal=true"])
    path.write_text("steps: 5\n")
    assert load_prior_recipe(path, ["prior.pattern=flatten"]).prior.pattern == "flatten"
