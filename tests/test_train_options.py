"""What a recipe can ask for beside its losses: a teacher, a compiler, a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vqaudio.checkpoint import load_model
from vqaudio.errors import TrainingError
from vqaudio.recipe import Recipe, load_recipe
from vqaudio.train import train

TINY = Path(__file__).parent.parent / "recipes" / "tiny.yaml"
CPU = torch.device("cpu")


def make_recipe(speech_folder: Path, *more: str) -> Recipe:
    common = [
        f"data.corpora.0.root={speech_folder}",
        "stages.0.steps=6",
        "data.crop_seconds=0.25",
        "log_every=1",
        "validation_seconds=1",
    ]
    return load_recipe(TINY, [*common, *more])


def logged(run: Path, figure: str) -> list[float]:
    lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [line[figure] for line in lines if line["kind"] == "train"]


def test_the_first_level_learns_from_a_teacher(
    torchaudio: ModuleType, speech_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(
        speech_folder,
        "semantic={bundle: TINY, layer: 2}",
        "stages.0.loss.semantic=5",
        "stages.0.steps=40",
        "stages.0.optimizer.learning_rate=1e-2",
    )
    model = train(recipe, tmp_path / "run", device=CPU)
    distances = logged(tmp_path / "run", "semantic")
    assert sum(distances[-10:]) < 0.8 * sum(distances[:10])
    # The teacher is neither in the model nor in the checkpoint; its projection is in the latter.
    assert load_model(model).codec.config == recipe.codec
    [*_, newest] = sorted((tmp_path / "run").glob("state-*.pt"))
    state = torch.load(newest, weights_only=True)
    assert "teacher" not in state
    assert state["semantic"]["project.weight"].shape == (16, 16)


def test_a_teacher_that_there_is_not(
    torchaudio: ModuleType, speech_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(speech_folder, "semantic={bundle: NOBODY}", "stages.0.loss.semantic=1")
    with pytest.raises(TrainingError, match="has no speech model 'NOBODY'"):
        train(recipe, tmp_path / "run", device=CPU)


@pytest.mark.filterwarnings("ignore")  # of the compiler, about itself
def test_a_compiled_codec_learns_the_same(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first half of the compiler: the second takes minutes to write its C++."""
    compiled, usual = [], torch.nn.Module.compile

    def compile_quickly(module: torch.nn.Module) -> None:
        compiled.append(type(module).__name__)
        usual(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_quickly)
    runs = [tmp_path / "false", tmp_path / "true"]
    for run in runs:
        recipe = make_recipe(speech_folder, f"compile={run.name}", "stages.0.steps=3")
        train(recipe, run, device=CPU)
    assert compiled == ["FramesEncoder", "FramesDecoder"]
    plain, with_compiler = (logged(run, "mel") for run in runs)
    assert with_compiler == pytest.approx(plain, rel=1e-3)
    names = [set(load_model(run / "model.safetensors").codec.state_dict()) for run in runs]
    assert names[0] == names[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_step_waits_for_the_gpu(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all levels have started, torch raises where a step reads from the device."""
    from vqaudio.train.stage import Stage

    usual, seen = Stage.begin_step, []

    def begin_step(stage: Stage, step: int) -> None:
        seen.append(stage.learning[0].device.type)
        torch.cuda.set_sync_debug_mode("error" if 25 <= step < 38 else "default")
        usual(stage, step)

    monkeypatch.setattr(Stage, "begin_step", begin_step)
    recipe = make_recipe(
        speech_folder,
        "stages.0.steps=40",
        "data.crop_seconds=2.5",  # longer than some recordings: with padding and its mask
        "codec.quantizer.num_codebooks=2",  # the second starts at step 20
        "precision=bfloat16",
        "stages.0.loss={mel: 1, adversarial: 1, features: 2, balance: true, mel_windows: [256]}",
        "discriminators=[{kind: stft, window_length: 256, channels: 4}]",
        "log_every=40",
        "validate_every=40",
        "checkpoint_minutes=60",
    )
    try:
        train(recipe, tmp_path / "run", device=torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen == ["cuda"] * 40
