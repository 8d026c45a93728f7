"""Training runs: what they leave, and that stopping one at any moment costs nothing but time."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vqaudio.checkpoint import load_model
from vqaudio.codec.frames import FramesEncoder
from vqaudio.errors import CorpusError, RecipeError, TrainingError, VqaudioError
from vqaudio.losses import MultiScaleMelLoss
from vqaudio.recipe import Recipe, load_recipe
from vqaudio.train import guards, log, start, train
from vqaudio.train.log import RunLog
from vqaudio.train.speech import find_speech
from vqaudio.train.state import checkpoints, claim_run_folder, read_state, save_state

TINY = Path(__file__).parent.parent / "recipes" / "tiny.yaml"
STEPS = 30
CPU = torch.device("cpu")


def overrides(speech_folder: Path, *more: str) -> list[str]:
    """Short steps and a checkpoint after each."""
    return [
        f"data.corpora.0.root={speech_folder}",
        f"stages.0.steps={STEPS}",
        "data.crop_seconds=0.25",
        "codec.quantizer.num_codebooks=2",
        "validate_every=10",
        "validation_seconds=1",
        "checkpoint_minutes=0",
        *more,
    ]


def make_recipe(speech_folder: Path, *more: str) -> Recipe:
    return load_recipe(TINY, overrides(speech_folder, *more))


@pytest.fixture(scope="session")
def undisturbed(speech_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a whole run. Not to be written to."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert train(make_recipe(speech_folder), run, device=CPU) == run / "model.safetensors"
    return run


def model_bytes(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def next_step(run: Path) -> int:
    state = read_state(run)
    assert state is not None
    return int(state["next_step"])


def log_lines(run: Path, kind: str) -> list[dict[str, float]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


# A run


def test_a_run_leaves_its_files_and_nothing_else(undisturbed: Path, speech_folder: Path) -> None:
    assert sorted(os.listdir(undisturbed)) == [
        "best.safetensors",
        "log.jsonl",
        "model.safetensors",
        "recipe.yaml",
        f"state-{STEPS - 1:08d}.pt",
        f"state-{STEPS:08d}.pt",
        "tensorboard",
    ]
    assert load_recipe(undisturbed / "recipe.yaml") == make_recipe(speech_folder)
    assert any((undisturbed / "tensorboard").iterdir())
    assert next_step(undisturbed) == STEPS


def test_the_loss_falls(undisturbed: Path) -> None:
    lines = log_lines(undisturbed, "train")
    assert [line["step"] for line in lines] == list(range(4, STEPS, 5))
    # A batch is one second of sound, and hisses are harder than vowels: the same held-out sounds.
    validation = [line["mel"] for line in log_lines(undisturbed, "validation")]
    assert validation == sorted(validation, reverse=True)
    assert validation[-1] < 0.9 * validation[0]
    assert all(line["audio_seconds_per_second"] > 0 for line in lines)
    assert all(0 <= line["data_wait"] <= 1 for line in lines)
    # Warm-up, then a cosine to zero.
    rates = [line["learning_rate"] for line in lines]
    assert rates[0] < max(rates) == pytest.approx(3e-3)
    assert 0 < rates[-1] < 0.01 * max(rates)


def test_validation_and_health_are_logged(undisturbed: Path) -> None:
    for kind in ("validation", "codebooks"):
        assert [line["step"] for line in log_lines(undisturbed, kind)] == [9, 19, 29]
    assert set(log_lines(undisturbed, "validation")[0]) >= {"mel", "mel_quarter_rate"}
    health = log_lines(undisturbed, "codebooks")[-1]
    assert health["num_tokens"] == 150  # 3 s, as much as one crop
    for level in (0, 1):
        assert 0 < health[f"used_{level}"] <= 1
        assert 1 <= health[f"perplexity_{level}"] <= 32
        assert health[f"restarts_{level}"] >= 0


def test_the_model_loads_and_says_where_it_comes_from(undisturbed: Path) -> None:
    model = load_model(undisturbed / "model.safetensors")
    assert model.card == {
        "recipe": "tiny",
        "description": "a codec too small to be understood, to try training with",
        "licence": "that of your recordings",
        "init": None,
        "corpora": ["folder"],
        "speakers": 5,
        "hours_of_speech": 0.01,
        "steps": STEPS,
        "stages": ["metric"],
        "hours_heard": round(STEPS * 4 * 0.25 / 3600, 2),
        "seed": 0,
    }
    codes = model.codec.encode(torch.randn(1, 1, 16_000))
    assert codes.shape == (1, 2, 50)


def test_a_finished_run_is_returned_at_once(
    undisturbed: Path, speech_folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in run.glob("*.*") if path.suffix != ".jsonl"}
    assert train(make_recipe(speech_folder), run, device=CPU) == run / "model.safetensors"
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (run / "log.jsonl").read_text() == (undisturbed / "log.jsonl").read_text()


def test_autocast_waveform_family_and_gradient_codebooks_train_too(
    speech_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(
        speech_folder,
        "stages.0.steps=4",
        "precision=bfloat16",
        "storage=float16",
        "codec.backbone={family: waveform, strides: [16, 20], width: 4}",
        "codec.quantizer.codebook=gradient",
    )
    path = train(recipe, tmp_path / "run", device=CPU)
    assert load_model(path).codec.encode(torch.randn(1, 1, 3200)).shape == (1, 2, 10)


# Stopped and resumed


def test_a_killed_run_goes_on_to_the_same_model(
    undisturbed: Path, speech_folder: Path, tmp_path: Path
) -> None:
    """kill -9 at some moment after a checkpoint, then the same call again."""
    run = tmp_path / "run"
    script = (
        "import sys, torch; from pathlib import Path\n"
        "from vqaudio.recipe import load_recipe; from vqaudio.train import train\n"
        "recipe = load_recipe(Path(sys.argv[1]), sys.argv[3:])\n"
        "train(recipe, Path(sys.argv[2]), device=torch.device('cpu'))"
    )
    command = [sys.executable, "-c", script, str(TINY), str(run), *overrides(speech_folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not checkpoints(run) and time.monotonic() < deadline:
            assert process.poll() is None, "the run ended before its first checkpoint"
            time.sleep(0.005)
        time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert 0 < next_step(run) < STEPS, "killed too late to prove anything"
    train(make_recipe(speech_folder), run, device=CPU)
    assert model_bytes(run) == model_bytes(undisturbed)
    # The log reads as if nothing had happened, times apart.
    for kind, figure in (("train", "mel"), ("validation", "mel"), ("codebooks", "perplexity_1")):
        found, expected = (
            [(line["step"], line[figure]) for line in log_lines(folder, kind)]
            for folder in (run, undisturbed)
        )
        assert found == expected
    assert not list(run.glob(".*"))


def test_what_was_logged_after_the_last_checkpoint_comes_once(tmp_path: Path) -> None:
    with RunLog(tmp_path, steps=20, first=0) as log:
        for step in (4, 9, 14):
            log.scalars(step, "train", {"mel": step / 3})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 19, "ki')  # torn by a power cut
    with RunLog(tmp_path, steps=20, first=12) as log:
        log.scalars(14, "train", {"mel": 7.0})
    assert log_lines(tmp_path, "train") == [
        {"step": 4, "kind": "train", "mel": 1.33333},
        {"step": 9, "kind": "train", "mel": 3.0},
        {"step": 14, "kind": "train", "mel": 7.0},
    ]


def test_ctrl_c_waits_for_the_step_and_saves(
    undisturbed: Path, speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, handler = start.batches, signal.getsignal(signal.SIGINT)

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[Tensor]:
        for step, batch in enumerate(usual(*args, **kwargs)):
            if step == 7:
                signal.raise_signal(signal.SIGINT)
            yield batch

    run, recipe = tmp_path / "run", make_recipe(speech_folder, "checkpoint_minutes=60")
    with monkeypatch.context() as patch:
        patch.setattr(start, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, run, device=CPU)
    assert signal.getsignal(signal.SIGINT) is handler
    assert next_step(run) == 8
    assert load_model(run / "model.safetensors").card["steps"] == 8
    train(recipe, run, device=CPU)
    assert model_bytes(run) == model_bytes(undisturbed)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[str]], None]:
    """Makes every write of files with these names end half way."""

    def fill(names: set[str]) -> None:
        usual = Path.write_bytes

        def write_bytes(path: Path, data: bytes) -> int:
            if path.name.split(".")[1] in {name.partition(".")[0] for name in names}:
                usual(path, bytes(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return usual(path, data)

        monkeypatch.setattr(Path, "write_bytes", write_bytes)

    return fill


def test_a_disk_that_is_full_at_a_checkpoint_does_not_end_the_run(
    undisturbed: Path,
    speech_folder: Path,
    tmp_path: Path,
    full_disk: Callable[[set[str]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    full_disk({f"state-{step:08d}.pt" for step in (7, 8, 9)})
    train(make_recipe(speech_folder), run, device=CPU)
    said = capfd.readouterr().err
    for name in ("state-00000007.pt", "state-00000009.pt"):
        assert f"{name}: No space left on device" in said
    assert "The run goes on, older files stay." in said
    assert model_bytes(run) == model_bytes(undisturbed)
    assert not list(run.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_does_not_end_the_run(
    undisturbed: Path,
    speech_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    full = Path("/dev/full").open("a")  # noqa: SIM115
    monkeypatch.setattr(log, "_reopen", lambda path, first: full)
    train(make_recipe(speech_folder, "checkpoint_minutes=60"), run, device=CPU)
    said = capfd.readouterr().err
    assert said.count("the log cannot be written ([Errno 28] No space left on device)") == 1
    assert model_bytes(run) == model_bytes(undisturbed)


@pytest.mark.parametrize("file", ["model.safetensors", f"state-{STEPS:08d}.pt"])
def test_a_disk_that_is_full_at_the_last_checkpoint(
    undisturbed: Path,
    speech_folder: Path,
    tmp_path: Path,
    full_disk: Callable[[set[str]], None],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
) -> None:
    """What was there stays, the message says why, and the same call finishes the run."""
    run, recipe = tmp_path / "run", make_recipe(speech_folder)
    with monkeypatch.context() as patch:
        full_disk({file})
        with pytest.raises(VqaudioError, match=rf"^cannot write .*{file}: No space left on device"):
            train(recipe, run, device=CPU)
        patch.undo()
    monkeypatch.undo()
    assert not list(run.glob(".*"))
    train(recipe, run, device=CPU)
    assert model_bytes(run) == model_bytes(undisturbed)


def test_a_full_disk_is_named_whatever_torch_makes_of_it(tmp_path: Path) -> None:
    parts = {"codec": torch.nn.Linear(100, 100)}
    save_state(tmp_path, parts, next_step=1, keep=2)
    before = (tmp_path / "state-00000001.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(VqaudioError, match=r"^cannot write .*2\.pt: File too large"):
            save_state(tmp_path, parts, next_step=2, keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "state-00000001.pt").read_bytes() == before
    assert os.listdir(tmp_path) == ["state-00000001.pt"]


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    for step in (5, 10, 15, 20):
        save_state(tmp_path, {"codec": layer}, next_step=step, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "state-00000015.pt",
        "state-00000020.pt",
    ]


# Run folders


def test_a_run_of_another_recipe_is_refused(undisturbed: Path, speech_folder: Path) -> None:
    recipe = make_recipe(speech_folder, "stages.0.optimizer.learning_rate=1e-3", "seed=1")
    with pytest.raises(
        TrainingError,
        match=r"holds a run of another recipe \(they differ in seed, stages\): give another folder",
    ):
        train(recipe, undisturbed, device=CPU)


def test_a_recipe_with_defaults_left_out_is_the_same_recipe(
    undisturbed: Path, speech_folder: Path, tmp_path: Path
) -> None:
    """So a later version, with more keys, goes on with an older version's run."""
    values = json.loads((undisturbed / "recipe.yaml").read_text(encoding="utf-8"))
    del values["storage"], values["data"]["gain_db"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(values), encoding="utf-8")
    claim_run_folder(tmp_path, make_recipe(speech_folder))


def test_folders_that_hold_something_else_are_refused(speech_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(speech_folder)
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(TrainingError, match="is not empty and holds no run: give another folder"):
        train(recipe, tmp_path, device=CPU)
    with pytest.raises(TrainingError, match=r"thesis\.tex is not empty and holds no run"):
        train(recipe, tmp_path / "thesis.tex", device=CPU)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    (tmp_path / "thesis.tex").rename(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"recipe\.yaml is not a recipe"):
        train(recipe, tmp_path, device=CPU)


def test_what_a_killed_run_was_writing_is_removed(speech_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(speech_folder)
    (tmp_path / ".recipe.123-0a1b2c3d.yaml").write_text("{")  # killed before anything else
    claim_run_folder(tmp_path, recipe)
    for name in (".state-00000007.123-0a1b2c3d.pt", ".model.123-0a1b2c3d.safetensors"):
        (tmp_path / name).write_bytes(b"half")
    claim_run_folder(tmp_path, recipe)
    assert sorted(os.listdir(tmp_path)) == [".recipe.123-0a1b2c3d.yaml", "recipe.yaml"]


def spoil_file(path: Path, content: bytes | None) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)


SPOILT = pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", None])


@SPOILT
def test_a_run_goes_back_to_the_checkpoint_before_one_that_cannot_be_read(
    undisturbed: Path, speech_folder: Path, tmp_path: Path, content: bytes | None
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    spoil_file(checkpoints(run)[-1], content)
    assert next_step(run) == STEPS - 1
    (run / "model.safetensors").unlink()
    train(make_recipe(speech_folder), run, device=CPU)
    assert model_bytes(run) == model_bytes(undisturbed)


def test_going_back_leaves_no_checkpoint_of_another_future(tmp_path: Path) -> None:
    """Else the one that cannot be read would be the newest for good, and the only one kept."""
    layer = torch.nn.Linear(2, 2)
    for step in (50, 60):
        save_state(tmp_path, {"codec": layer}, next_step=step, keep=2)
    (tmp_path / "state-00000060.pt").write_bytes(b"half")
    assert next_step(tmp_path) == 50
    save_state(tmp_path, {"codec": layer}, next_step=55, keep=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["state-00000055.pt"]


@SPOILT
def test_no_checkpoint_that_can_be_read(
    undisturbed: Path, speech_folder: Path, tmp_path: Path, content: bytes | None
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    for path in checkpoints(run):
        spoil_file(path, content)
    message = r"\.pt cannot be resumed \(.+\): remove the run folder to start again"
    with pytest.raises(TrainingError, match=message) as caught:
        train(make_recipe(speech_folder), run, device=CPU)
    assert "\n" not in str(caught.value)


def test_a_state_that_does_not_fit(undisturbed: Path, speech_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    (run / "recipe.yaml").unlink()
    other = make_recipe(speech_folder, "codec.backbone.width=48")
    claim_run_folder(run, other)
    with pytest.raises(TrainingError, match="its state does not fit its recipe"):
        train(other, run, device=CPU)


def test_what_has_no_effect_on_the_model_may_change(
    undisturbed: Path, speech_folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    recipe = make_recipe(speech_folder, "checkpoint_minutes=7", "data.workers=1", "log_every=3")
    train(recipe, run, device=CPU)
    assert load_recipe(run / "recipe.yaml") == recipe


def test_a_missing_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere is not a folder"):
        train(make_recipe(tmp_path / "nowhere"), tmp_path / "run", device=CPU)


def test_a_corpus_that_cannot_be_read_is_listed(speech_folder: Path, tmp_path: Path) -> None:
    speech = shutil.copytree(speech_folder, tmp_path / "speech")
    recipe = make_recipe(speech, "data.workers=1")
    find_speech(recipe)  # lengths are known from now on
    for path in speech.rglob("*.wav"):
        size, when = path.stat().st_size, path.stat().st_mtime_ns
        path.write_bytes(b"\0" * size)
        os.utime(path, ns=(when, when))
    with pytest.raises(CorpusError, match="files in a row could not be read"):
        train(recipe, tmp_path / "run", device=CPU)
    listed = (tmp_path / "run" / "unreadable.jsonl").read_text().splitlines()
    assert 10 < len(listed) <= 18


def test_a_corpus_without_validation_speech_is_said(
    speech_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one_speaker = shutil.copytree(speech_folder / "speaker1", tmp_path / "speech" / "one").parent
    train(make_recipe(one_speaker, "stages.0.steps=1"), tmp_path / "run", device=CPU)
    assert "hold no speech to validate on" in capfd.readouterr().err
    assert not log_lines(tmp_path / "run", "validation")


# Steps that are no good


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[int]], None]:
    """Makes the loss of these steps nan."""

    def spoil(steps: set[int]) -> None:
        usual, calls = MultiScaleMelLoss.forward, count()

        def forward(self: MultiScaleMelLoss, waveform: Tensor, reference: Tensor) -> Tensor:
            loss = usual(self, waveform, reference)
            training = waveform.requires_grad
            return loss * float("nan") if training and next(calls) in steps else loss

        monkeypatch.setattr(MultiScaleMelLoss, "forward", forward)

    return spoil


def test_a_step_without_a_finite_gradient_is_skipped(
    speech_folder: Path,
    tmp_path: Path,
    spoil: Callable[[set[int]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    spoil({2, 3, 5})
    recipe = make_recipe(speech_folder, "stages.0.steps=8", "log_every=1")
    path = train(recipe, tmp_path / "run", device=CPU)
    said = capfd.readouterr().err
    for step in range(8):
        assert (f"step {step}: 1 steps skipped, their gradients" in said) == (step in {2, 3, 5})
    lines = log_lines(tmp_path / "run", "train")
    assert [line["step"] for line in lines if line["skipped"]] == [2, 3, 5]
    codec = load_model(path).codec
    assert all(weight.isfinite().all() for weight in codec.state_dict().values())


def test_too_many_such_steps_end_the_run_with_the_last_good_state(
    speech_folder: Path,
    tmp_path: Path,
    spoil: Callable[[set[int]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guards, "MAX_SKIPPED", 3)
    spoil({1, 2, 5, 6, 7, 8})
    run = tmp_path / "run"
    message = "the last 3 steps up to step 7 had no finite gradient: lower the stage's optimizer"
    with pytest.raises(TrainingError, match=message):
        train(make_recipe(speech_folder, "stages.0.steps=20", "log_every=1"), run, device=CPU)
    codec = load_model(run / "model.safetensors").codec
    assert all(weight.isfinite().all() for weight in codec.state_dict().values())


def test_a_run_may_end_on_a_skipped_step(
    speech_folder: Path, tmp_path: Path, spoil: Callable[[set[int]], None]
) -> None:
    spoil({2})
    train(make_recipe(speech_folder, "stages.0.steps=3"), tmp_path / "run", device=CPU)
    assert next_step(tmp_path / "run") == 3


def test_latents_that_are_not_finite_leave_the_codebooks_whole(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = FramesEncoder.forward, count()

    def forward(self: FramesEncoder, *inputs: Tensor) -> Tensor:
        latents = usual(self, *inputs)
        return latents * float("inf") if self.training and next(calls) == 3 else latents

    monkeypatch.setattr(FramesEncoder, "forward", forward)
    path = train(make_recipe(speech_folder, "stages.0.steps=6"), tmp_path / "run", device=CPU)
    codec = load_model(path).codec
    assert all(book.centroids.isfinite().all() for book in codec.quantizer.books)
    assert len(codec.quantizer.books[0].centroids.unique(dim=0)) > 1


def test_speakers_that_are_trained_on_cannot_validate(speech_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(speech_folder, "data.corpora.0.validation=[train]")
    with pytest.raises(CorpusError, match="both the training and the validation speakers"):
        train(recipe, tmp_path / "run", device=CPU)
    assert not (tmp_path / "run").exists()
