"""The models in the box: what their files hold, and that card, recipe and file say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sounds import recorded_speech

from vqaudio import Tokens, load
from vqaudio.checkpoint import BUNDLED, DEFAULT_MODEL, load_model
from vqaudio.entropy import bundled_frequencies
from vqaudio.metrics import mel_distance
from vqaudio.recipe import load_recipe

ROOT = Path(__file__).parent.parent
CAUSAL = "speech-16k-causal"
NAMES = (DEFAULT_MODEL, CAUSAL)
EXAMPLE = BUNDLED / "example.npz"
CARD = (BUNDLED / "README.md").read_text(encoding="utf-8")


def path_of(name: str) -> Path:
    return BUNDLED / f"{name}.safetensors"


def cell_of(row: str, name: str) -> str:
    """What the first table of the card says of a model."""
    line = next(line for line in CARD.splitlines() if line.startswith(f"| {row} "))
    return line.strip("| ").split(" | ")[1 + NAMES.index(name)]


def test_both_are_there_and_no_other() -> None:
    assert {path.stem for path in BUNDLED.glob("*.safetensors")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small(name: str) -> None:
    assert path_of(name).stat().st_size <= 20_000_000
    codec = load_model(path_of(name)).codec
    for side in (codec.encoder, codec.decoder):
        assert sum(parameter.numel() for parameter in side.parameters()) <= 8_000_000


@pytest.mark.parametrize("name", NAMES)
def test_they_are_what_their_recipes_describe(name: str) -> None:
    model, recipe = load_model(path_of(name)), load_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert model.codec.config == recipe.codec
    assert model.card["recipe"] == recipe.name == name
    assert model.card["description"] == recipe.description
    assert model.card["licence"] == recipe.licence
    assert model.card["steps"] == sum(stage.steps for stage in recipe.stages)
    assert model.card["stages"] == [stage.name for stage in recipe.stages]
    assert model.card["seed"] == recipe.seed
    assert model.card["corpora"] == [corpus.name for corpus in recipe.data.corpora]
    assert str(model.card["init"]).startswith(str(recipe.init))
    assert model.card["hours_heard"] == pytest.approx(recipe.hours_heard, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_the_file_that_is_there(name: str) -> None:
    model = load_model(path_of(name))
    assert f"`{model.fingerprint}`" in CARD
    assert f"`{name}.safetensors`, float16, {path_of(name).stat().st_size / 1e6:.1f} MB" in CARD
    steps, hours = f"{model.card['steps']:,} steps", f"{model.card['hours_heard']:.1f} hours heard"
    assert steps in cell_of("training", name)
    assert hours in cell_of("training", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_latency_of_the_card_is_that_of_the_codec(name: str) -> None:
    told = float(cell_of("latency", name).removesuffix(" ms"))
    assert load(name, device="cpu").codec.latency * 1000 == pytest.approx(told, abs=5)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_table_of_frequencies(name: str) -> None:
    table = bundled_frequencies(model=load_model(path_of(name)).fingerprint)
    assert table is not None
    assert f"`{table.fingerprint}`" in CARD


def test_the_example_was_made_by_the_model_that_is_loaded() -> None:
    tokenizer = load(device="cpu")
    assert Tokens.load(EXAMPLE).model == tokenizer.fingerprint


def test_nothing_that_comes_later_changes_what_the_causal_one_gives() -> None:
    tokenizer = load(CAUSAL, device="cpu")
    speech = recorded_speech()[:32000]
    cut = 16000
    changed = speech.copy()
    changed[cut:] = 0
    codes, others = tokenizer.encode(speech).codes, tokenizer.encode(changed).codes
    known = cut // tokenizer.codec.hop_length
    assert np.array_equal(codes[:, :known], others[:, :known])
    assert not np.array_equal(codes, others)


@pytest.mark.parametrize("name", NAMES)
def test_what_they_decode_is_the_speech(name: str) -> None:
    tokenizer = load(name, device="cpu")
    speech = recorded_speech()[:64000]
    decoded = tokenizer.decode(tokenizer.encode(speech))[0].numpy()
    assert decoded.shape == speech.shape
    # Measured 0.11 and 0.17; the same backwards is at 1.2.
    assert mel_distance(speech, decoded, 16000) < 0.4
