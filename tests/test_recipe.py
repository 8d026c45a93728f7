"""Recipes: YAML 1.2, strict keys and types, overrides, the bundled ones, and their plans."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from vqaudio.codec import Codec, FramesConfig, WaveformConfig
from vqaudio.describe import describe_codec
from vqaudio.errors import RecipeError
from vqaudio.recipe import OptimizerConfig, StageConfig, load_recipe
from vqaudio.train.plan import plan

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.yaml") if not path.stem.startswith("prior-"))
TINY = FOLDER / "tiny.yaml"

SMALL = """
name: small
description: for tests
licence: none
stages: [{name: metric, steps: 10}]
codec: {}
data:
  corpora: [{name: folder, root: speech}]
  batch_size: 2
  crop_seconds: 1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_fill_what_a_recipe_leaves_out(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SMALL))
    assert recipe.codec.backbone == FramesConfig()
    assert recipe.data.corpora[0].train == ("train",)
    assert recipe.hours_heard == 10 * 2 * 1 / 3600


def test_numbers_and_words_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = SMALL.replace("name: small", "name: no") + "precision: float32"
    recipe = load_recipe(write(tmp_path, text), ["stages.0.optimizer={learning_rate: 3e-4}"])
    assert recipe.name == "no"
    assert recipe.stages[0].optimizer.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # Wrong types and values
        ("stages.0.steps=no", r"yaml: stages\.0\.steps: must be a valid integer, got 'no'"),
        ("stages.0.steps=10.5", r"yaml: stages\.0\.steps: must be a valid integer, got 10\.5"),
        ("stages.0.steps='10'", r"yaml: stages\.0\.steps: must be a valid integer, got '10'"),
        ("stages.0.steps=0", r"yaml: stages\.0\.steps: must be greater than 0, got 0"),
        ("seed=true", r"seed: must be a valid integer, got True"),
        ("seed=-1", r"seed: must be greater than or equal to 0, got -1"),
        ("name=3", r"name: must be a valid string, got 3"),
        ("precision=float16", r"precision: must be 'auto', 'float32' or 'bfloat16', got 'float16'"),
        (
            "stages.0.optimizer.learning_rate=fast",
            r"stages\.0\.optimizer\.learning_rate: must be a valid number",
        ),
        ("stages.0.optimizer.betas=[0.9]", r"optimizer\.betas\.1: missing"),
        (
            "stages.0.loss.mel_windows=[32]",
            r"loss\.mel_windows\.0: must be greater than or equal to 64",
        ),
        ("data.corpora=[]", r"data\.corpora: tuple should have at least 1 item"),
        (
            "data.corpora.0.root=5",
            r"yaml: data\.corpora\.0\.root: must be a valid string, got 5\.",
        ),
        (
            "stages.0.optimizer.betas=[1.5, 0.9]",
            r"optimizer\.betas\.0: must be less than 1, got 1\.5",
        ),
        (
            "stages.0.optimizer.betas=[0, -1]",
            r"optimizer\.betas\.1: must be greater than or equal to 0",
        ),
        ("data.gain_db=[3, -3]", r"data\.gain_db: must be \[low, high\], got \[3, -3\]"),
        (
            "data.crop_seconds=0.01",
            r"yaml: data\.crop_seconds: must be at least one hop, 320 samples at 16000 Hz or "
            r"0\.02 s, got 0\.01\.$",
        ),
        ("codec.sample_rate=999", r"codec\.sample_rate: must be .* to 1000, got 999"),
        ("codec.sample_rate=768001", r"codec\.sample_rate: must be .* to 768000, got 768001"),
        ("data=", r"data: must be a valid dictionary .*, got None"),
        # Keys
        ("sead=3", r"sead: unknown key \(did you mean seed\?\)"),
        ("steps=3", r"steps: unknown key \(did you mean stages\?\)"),
        ("stages.0.stepps=3", r"stages\.0\.stepps: unknown key \(did you mean steps\?\)"),
        ("stages.0.optimizer.learningrate=1", r"unknown key \(did you mean learning_rate\?\)"),
        ("codec.hop_length=1", r"codec\.hop_length: unknown key \(the keys here are sample_rate, "),
        ("data.corpora.0.path=x", r"data\.corpora\.0\.path: unknown key"),
        # Families
        ("codec.backbone={width: 8}", r"codec\.backbone\.family: missing"),
        ("codec.backbone={family: wave}", r"family: must be 'frames', 'waveform', got 'wave'"),
        (
            "codec.backbone={family: waveform, encoder_blocks: 3}",
            r"codec\.backbone\.encoder_blocks: unknown key \(the keys here are family, strides",
        ),
        (
            "codec.backbone={family: frames, window_length: 500}",
            r"codec\.backbone: window_length 500 must be at least twice hop_length 320 and a",
        ),
        (
            "discriminators=[{kind: stft, period: 3}]",
            r"\.0\.period: unknown key \(the keys .* kind",
        ),
        ("discriminators=[{window_length: 512}]", r"discriminators\.0\.kind: missing"),
        ("discriminators=[{kind: big}]", r"discriminators\.0\.kind: must be 'stft', .*, got 'big'"),
        # Sections that need each other
        ("stages=[]", r"stages: tuple should have at least 1 item"),
        ("stages.0.loss={adversarial: 1}", r"stages\.0\.loss: adversarial and features need discr"),
        ("stages.0.loss={semantic: 1}", r"stages\.0\.loss\.semantic: needs the section semantic"),
        (
            "stages.0.loss={phase: 1, phase_below: 9000}",
            r"stages\.0\.loss\.phase_below: must be from 31\.25 Hz, .*, to 8000, got 9000",
        ),
        (
            "stages.0.loss={phase: 1, phase_windows: [64], phase_below: 200}",
            r"phase_below: must be from 250 Hz, the first bin of the shortest .*, got 200",
        ),
        ("stages.0.loss={mel: 0}", r"stages\.0\.loss: one of mel, stft, .* must be above 0"),
        (
            "codec.quantizer={codebook: fsq}",
            r"codec\.quantizer: codebook_size must be the product of fsq_levels, 1000, got 1024",
        ),
        # Overrides themselves
        ("seed", r"--set takes key\.path=value, got 'seed'"),
        ("=3", r"--set takes key\.path=value, got '=3'"),
        ("seed=[", r"--set seed=\[: line 1: "),
        ("name=2024-13-45", r"--set name=2024-13-45: month must be in 1\.\.12"),
        ("name.more=1", r"--set name\.more=1: more has no place, there is 'small' above it"),
        ("data.corpora.1.root=x", r"1 is no index of a list of 1, counted from 0"),
        ("data.corpora.first.root=x", r"first is no index of a list of 1"),
        ("data.corpora.-1.root=x", r"-1 is no index of a list of 1"),
    ],
)
def test_what_is_refused_and_how_it_is_said(tmp_path: Path, override: str, message: str) -> None:
    path = write(tmp_path, SMALL)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("name: small\n", ""), r"name: missing\.$"),
        (SMALL.replace("batch_size: 2", "seed: 2"), r"data\.batch_size: missing; data\.seed: unkn"),
        (SMALL + "seed: 20\nseed: 20\n", r"not valid YAML: line 12: found duplicate key"),
        (SMALL.replace("small", "2024-13-45"), r"not valid YAML: month must be in 1\.\.12"),
        ("a: [1\nb: 2", r"not valid YAML: line \d: "),
        ("a: \t- 1\n\0", r"not valid YAML: "),
        ("- a list", r"is not a recipe: it must hold keys and values"),
        ("", r"is not a recipe"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*nowhere: No such file"):
        load_recipe(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*: Is a directory"):
        load_recipe(tmp_path)
    binary = tmp_path / "model.safetensors"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_recipe(binary)


def test_the_recipe_of_a_language_model_is_for_another_command(tmp_path: Path) -> None:
    for path in (FOLDER / "prior-debian.yaml", write(tmp_path, "steps: 5\n")):
        with pytest.raises(RecipeError, match=r"is a recipe for `vqaudio prior train`, which"):
            load_recipe(path)
    # One wrong key does not make it another recipe.
    with pytest.raises(RecipeError, match=r"prior: unknown key"):
        load_recipe(write(tmp_path, SMALL), ["prior.width=3"])


def test_an_override_changes_one_of_the_places_that_share_an_anchor(tmp_path: Path) -> None:
    stages = "stages: [{name: a, steps: 1, loss: &one {mel: 2}}, {name: b, steps: 1, loss: *one}]"
    text = TINY.read_text(encoding="utf-8")
    head, separator, tail = text.partition("\nstages:")
    assert separator
    path = tmp_path / "tiny.yaml"
    rest = tail[tail.index("\n\n") :]
    path.write_text(f"{head}\n{stages}{rest}", encoding="utf-8")
    recipe = load_recipe(path, ["stages.0.loss.mel=3"])
    assert [stage.loss.mel for stage in recipe.stages] == [3, 2]


def test_overrides_reach_into_sections_and_lists_in_their_order(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, SMALL),
        [
            "data.corpora.0.root=/my/speech",
            "data.corpora.0.train=[train, validation]",
            "stages.0.optimizer.learning_rate=3e-4",  # a section that the file does not have
            "codec.backbone={family: waveform, width: 4}",
            "codec.backbone.width=8",
            "stages.0.steps=20",
            "name=a=b",
        ],
    )
    assert recipe.data.corpora[0].root == "/my/speech"
    assert recipe.data.corpora[0].train == ("train", "validation")
    assert recipe.stages[0].optimizer.learning_rate == 3e-4
    assert recipe.codec.backbone == WaveformConfig(family="waveform", width=8)
    assert recipe.steps == 20
    assert recipe.name == "a=b"


# The bundled recipes


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_builds_a_codec(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == "-".join(path.relative_to(FOLDER).with_suffix("").parts)
    codec = Codec(recipe.codec).eval()
    output = codec(torch.zeros(1, 1, 1000))
    frames = -(-1000 // codec.hop_length)
    assert output.waveform.shape == (1, 1, frames * codec.hop_length)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_readme_beside_the_recipes_has_their_numbers(path: Path) -> None:
    found = plan(load_recipe(path))
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    link = f"({path.relative_to(FOLDER).as_posix()})"
    [row] = [line for line in lines if line.startswith("| [") and link in line]
    _, _, _, hours, parameters, tokens, bitrates, _ = row.strip("| ").split(" | ")
    assert hours == f"{found.recipe.hours_heard:.2f}"
    assert parameters == f"{found.codec['parameters'] / 1e6:.2f} M"
    assert tokens == f"{found.codec['tokens_per_second']:g}"
    assert bitrates == f"{found.codec['bitrates'][0]:g} to {found.codec['bitrates'][-1]:g}"


# Plans


def test_a_plan_agrees_with_the_codec_that_is_trained() -> None:
    recipe = load_recipe(TINY)
    found, codec = plan(recipe), Codec(recipe.codec)
    assert found.codec == describe_codec(codec)
    assert found.codec["codebook_values"] == 3 * 32 * 16
    assert found.codec["bitrates"] == [250, 500, 750]
    assert found.vectors_per_step == 4 * 25
    # A frame is encoded from exactly that many samples, and no other sample changes it.
    codec.eval()
    span = codec.receptive_field
    waveform = torch.randn(1, 1, 16000, requires_grad=True)
    frame = 20
    codec.encoder(waveform)[0, :, frame].sum().backward()
    assert waveform.grad is not None
    touched = waveform.grad[0, 0].nonzero().flatten() - frame * codec.hop_length
    assert span.first <= touched.min()
    assert touched.max() <= span.last
    assert touched.max() - touched.min() + 1 >= 0.99 * found.codec["receptive_field"]


def test_a_plan_warns_of_too_few_vectors() -> None:
    assert plan(load_recipe(TINY)).warning is None
    few = plan(load_recipe(TINY, ["data.batch_size=1"]))
    assert few.vectors_per_step == 25
    assert few.warning is not None
    assert few.warning.startswith("A step has 25 vectors for 32 codes: raise data.batch_size")
    assert few.lines()[-1] == f"warning: {few.warning}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_plan_needs_neither_data_nor_network(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "socket", None)
    lines = plan(recipe).lines()
    assert not any(tmp_path.iterdir())
    # The first part is the recipe itself, with all defaults in it.
    (tmp_path / "again.yaml").write_text("\n".join(lines[: lines.index("")]), encoding="utf-8")
    assert load_recipe(tmp_path / "again.yaml") == recipe
    facts = [line.partition("  ")[0] for line in lines[lines.index("") + 1 :]]
    assert {"parameters", "receptive field", "latency seconds", "bitrates", "hours heard"} <= {
        *facts
    }


@pytest.mark.parametrize(
    ("decay_steps", "expected"),
    [
        (None, [0.5, 1, 1, 0.75, 0.25]),  # a cosine from the warm-up on
        (2, [0.5, 1, 1, 1, 0.5]),
        (0, [0.5, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_rises_stays_and_falls(
    decay_steps: int | None, expected: list[float]
) -> None:
    optimizer = OptimizerConfig(warmup_steps=2, decay_steps=decay_steps)
    stage = StageConfig(name="metric", steps=5, optimizer=optimizer)
    factors = [stage.learning_rate_factor(step) for step in range(5)]
    assert factors == pytest.approx(expected)
