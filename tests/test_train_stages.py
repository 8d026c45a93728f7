"""Stages, discriminators, balanced losses, going on from a model, several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vqaudio.checkpoint import find_model, load_model, save_model
from vqaudio.codec import Codec
from vqaudio.errors import ModelError, RecipeError, TrainingError
from vqaudio.quantizers import CodebookUsage
from vqaudio.recipe import CollapseConfig, Recipe, load_recipe
from vqaudio.train import train
from vqaudio.train.guards import Guards
from vqaudio.train.state import checkpoints, read_state

TINY = Path(__file__).parent.parent / "recipes" / "tiny.yaml"
CPU = torch.device("cpu")

STAGES = """[
  {name: metric, steps: 8, loss: {mel_windows: [256]}, optimizer: {warmup_steps: 2}},
  {name: adversarial, steps: 16,
   loss: {mel: 1, stft: 0.5, phase: 0.2, waveform: 0.1, adversarial: 1, features: 2, balance: true,
          mel_windows: [256, 512], stft_windows: [256], phase_windows: [256], phase_below: 500},
   optimizer: {warmup_steps: 2}, discriminator_optimizer: {every: 2}},
  {name: decoder, steps: 6, trains: decoder,
   loss: {mel: 1, adversarial: 1, features: 2, mel_windows: [256]}, optimizer: {warmup_steps: 2}}
]"""
DISCRIMINATORS = (
    "[{kind: stft, window_length: 256, channels: 4}, {kind: period, period: 3, channels: [4, 4]},"
    " {kind: band, window_length: 256, channels: 4}]"
)


def overrides(speech_folder: Path, *more: str) -> list[str]:
    return [
        f"data.corpora.0.root={speech_folder}",
        "data.crop_seconds=0.25",
        "codec.quantizer.num_codebooks=2",
        "codec.quantizer.codebook_size=16",
        f"stages={STAGES}",
        f"discriminators={DISCRIMINATORS}",
        "log_every=1",
        "validate_every=7",
        "validation_seconds=1",
        "checkpoint_minutes=0",
        "keep_checkpoints=40",
        *more,
    ]


def make_recipe(speech_folder: Path, *more: str) -> Recipe:
    return load_recipe(TINY, overrides(speech_folder, *more))


@pytest.fixture(scope="session")
def staged(speech_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a whole run through three stages. Not to be written to."""
    run = tmp_path_factory.mktemp("runs") / "staged"
    train(make_recipe(speech_folder), run, device=CPU)
    return run


def log_lines(run: Path, kind: str) -> list[dict[str, float]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def state_at(run: Path, step: int) -> dict[str, Any]:
    path = run / f"state-{step:08d}.pt"
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def differing(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> set[str]:
    """First parts of the names of the tensors that are not the same."""
    assert a.keys() == b.keys()
    return {name.partition(".")[0] for name in a if not torch.equal(a[name], b[name])}


# Stages


def test_each_stage_minimises_its_own_losses(staged: Path) -> None:
    lines = log_lines(staged, "train")
    assert [line["step"] for line in lines] == list(range(30))
    on_sound = {"mel", "stft", "phase", "waveform", "adversarial", "features"}
    names = [set(line) & on_sound for line in lines]
    assert names[:8] == [{"mel"}] * 8
    assert names[8:24] == [on_sound] * 16
    assert names[24:] == [{"mel", "adversarial", "features"}] * 6
    assert all(("discriminator" in line) == ("adversarial" in line) for line in lines)
    # Discriminators are asked in every second step of theirs: the log has the newest figures.
    asked = [line["discriminator_gradient_norm"] for line in lines[8:24]]
    assert asked[0::2] == asked[1::2]
    assert len(set(asked)) == 8
    # Where losses are balanced, so are their gradients' norms, beside the losses themselves.
    assert all(line["mel_gradient_norm"] > 0 for line in lines[8:24])
    assert all(line["mel"] > 1 for line in lines)
    # Each stage warms up anew.
    rates = [line["learning_rate"] for line in lines]
    assert [rates[0], rates[8], rates[24]] == [pytest.approx(2.5e-4)] * 3
    assert [rates[1], rates[9], rates[25]] == [pytest.approx(5e-4)] * 3


def test_discriminators_learn_alone_while_they_lead(speech_folder: Path, tmp_path: Path) -> None:
    """Until then the codec is that of the same stage without discriminators, bit for bit."""
    alone, led = tmp_path / "alone", tmp_path / "led"
    stage = "name: a, steps: 6, optimizer: {warmup_steps: 2}"
    loss = "mel_windows: [256], mel: 1"
    judged = f"{loss}, adversarial: 1, features: 2"
    lead = "discriminator_optimizer: {lead_steps: 4}"
    for run, text in (
        (alone, f"[{{{stage}, loss: {{{loss}}}}}]"),
        (led, f"[{{{stage}, loss: {{{judged}}}, {lead}}}]"),
    ):
        train(make_recipe(speech_folder, f"stages={text}"), run, device=CPU)
    assert differing(state_at(alone, 4)["codec"], state_at(led, 4)["codec"]) == set()
    assert "decoder" in differing(state_at(alone, 5)["codec"], state_at(led, 5)["codec"])
    for before, after in ((1, 2), (3, 4), (5, 6)):
        states = [state_at(led, step)["discriminators"] for step in (before, after)]
        assert differing(*states) == {"parts"}
    told = ["adversarial" in line for line in log_lines(led, "train")]
    assert told == [False] * 4 + [True] * 2


@pytest.mark.parametrize("lead", ["every: 2", "lead_steps: 1"])
def test_steps_without_discriminators_need_another_loss(speech_folder: Path, lead: str) -> None:
    stage = "name: a, steps: 6, loss: {mel: 0, adversarial: 1}"
    with pytest.raises(RecipeError, match="does not hear the discriminators"):
        make_recipe(speech_folder, f"stages=[{{{stage}, discriminator_optimizer: {{{lead}}}}}]")


@pytest.mark.parametrize(
    ("loss", "lead", "message"),
    [
        ("adversarial: 1", 6, r"lead_steps 6 must be below the stage's steps, 6: "),
        ("mel: 1", 2, r"lead_steps is 2, but the loss has no discriminators"),
    ],
)
def test_a_lead_that_brings_nothing(
    speech_folder: Path, loss: str, lead: int, message: str
) -> None:
    judge = f"discriminator_optimizer: {{lead_steps: {lead}}}"
    with pytest.raises(RecipeError, match=message):
        make_recipe(speech_folder, f"stages=[{{name: a, steps: 6, loss: {{{loss}}}, {judge}}}]")


def test_who_learns_in_which_stage(staged: Path) -> None:
    begin, judged, end = (state_at(staged, step) for step in (1, 8, 24))
    assert differing(begin["discriminators"], judged["discriminators"]) == set()
    assert differing(judged["discriminators"], end["discriminators"]) == {"parts"}
    assert differing(judged["codec"], end["codec"]) == {"encoder", "decoder", "quantizer"}


def test_the_decoder_stage_keeps_the_codes(staged: Path, speech_folder: Path) -> None:
    """Encoder and codebooks of the averaged model, bit for bit, so the fingerprint stays."""
    before, after = state_at(staged, 24), state_at(staged, 30)
    moved = differing(before["average"], after["average"])
    assert moved == {"module", "n_averaged"}
    changed = {
        name.split(".")[1]
        for name, tensor in before["average"].items()
        if name.startswith("module.") and not torch.equal(tensor, after["average"][name])
    }
    assert changed == {"decoder", "quantizer"}
    counted = {n for n in before["average"] if "quantizer" in n and n.endswith(".updates")}
    assert all(before["average"][n] > 0 for n in counted), "a level never started"
    same = [n for n in before["average"] if "sums" in n or "counts" in n or ".encoder." in n]
    assert all(torch.equal(before["average"][n], after["average"][n]) for n in same)
    until = make_recipe(speech_folder).model_copy(
        update={"stages": make_recipe(speech_folder).stages[:2]}
    )
    shorter = train(until, staged.parent / "shorter", device=CPU)
    short, long = load_model(shorter), load_model(staged / "model.safetensors")
    assert short.fingerprint == long.fingerprint
    waveform = torch.randn(1, 1, 4000)
    codes = short.codec.encode(waveform)
    assert torch.equal(codes, long.codec.encode(waveform))
    assert not torch.equal(short.codec.decode(codes), long.codec.decode(codes))
    assert long.card["stages"] == ["metric", "adversarial", "decoder"]


@pytest.mark.parametrize(
    "resumed_at", [21, 24, *(pytest.param(step, marks=pytest.mark.slow) for step in (7, 8, 9, 29))]
)
def test_a_run_goes_on_from_any_checkpoint_to_the_same_state(
    staged: Path, speech_folder: Path, tmp_path: Path, resumed_at: int
) -> None:
    """Weights, both optimisers, averages, guards, log; at the ends of stages and beside them."""
    run = shutil.copytree(staged, tmp_path / "run")
    for path in checkpoints(run):
        if path.name > f"state-{resumed_at:08d}.pt":
            path.unlink()
    train(make_recipe(speech_folder, "checkpoint_minutes=60"), run, device=CPU)
    assert_same(run, staged)


KILLED = """
import os, signal, sys; from pathlib import Path; import torch
from vqaudio.recipe import load_recipe; from vqaudio.train import train
usual, left = os.replace, int(sys.argv[1])
def replace(source, target):
    global left
    left -= Path(target).name.startswith("state-")
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    usual(source, target)
os.replace = replace
train(load_recipe(Path(sys.argv[2]), sys.argv[4:]), Path(sys.argv[3]), device=torch.device("cpu"))
"""


def test_a_run_killed_while_it_writes_goes_on_to_the_same_state(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    """kill -9 with a checkpoint on the disk that has no name yet, then the same call."""
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, "12", str(TINY), str(run)]
    done = subprocess.run([*command, *overrides(speech_folder)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(checkpoints(run)) == 12
    assert list(run.glob(".state-*.pt"))
    train(make_recipe(speech_folder), run, device=CPU)
    assert not list(run.glob(".state-*.pt"))
    assert_same(run, staged)


def assert_same(run: Path, other: Path) -> None:
    """Two runs that ended have the same model, state and log, times apart."""
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert repr(flat(read_state(run))) == repr(flat(read_state(other)))
    for kind in ("train", "validation", "codebooks"):
        lines = [log_lines(folder, kind) for folder in (run, other)]
        for line in (*lines[0], *lines[1]):
            line.pop("audio_seconds_per_second", None)
            line.pop("data_wait", None)
        assert lines[0] == lines[1]


def flat(state: Any) -> Any:
    """Tensors as lists, so that states can be compared as a whole."""
    if isinstance(state, torch.Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {str(key): flat(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [flat(value) for value in state]
    return state


# Going on from a model


def test_fine_tuning_starts_from_the_model_and_takes_its_codec(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    text = f"""
name: mine
description: goes on
licence: none
init: {staged / "model.safetensors"}
data:
  corpora: [{{name: folder, root: {speech_folder}}}]
  batch_size: 2
  crop_seconds: 0.25
stages:
  - {{name: tune, steps: 1, optimizer: {{learning_rate: 1e-9, warmup_steps: 0}}}}
"""
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    recipe = load_recipe(path)
    origin = load_model(staged / "model.safetensors").codec
    assert recipe.codec == origin.config
    tuned = load_model(train(recipe, tmp_path / "run", device=CPU))
    for name, weight in origin.encoder.state_dict().items():
        torch.testing.assert_close(tuned.codec.encoder.state_dict()[name], weight)
    assert tuned.card["init"] == str(staged / "model.safetensors")


def test_a_run_folder_brings_its_discriminators(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    one = "stages=[{name: more, steps: 1, loss: {adversarial: 1}}]"
    recipe = make_recipe(speech_folder, one, f"init={staged}")
    train(recipe, tmp_path / "run", device=CPU)
    origin, fresh = state_at(staged, 30)["discriminators"], state_at(staged, 1)["discriminators"]
    found = state_at(tmp_path / "run", 1)["discriminators"]
    distance = {
        kind: sum(float((found[n] - other[n]).abs().sum()) for n in found)
        for kind, other in (("origin", origin), ("fresh", fresh))
    }
    assert distance["origin"] < distance["fresh"]


def test_a_causal_codec_begins_with_a_centred_model(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    one = "stages=[{name: more, steps: 1, optimizer: {learning_rate: 1e-9, warmup_steps: 0}}]"
    recipe = make_recipe(speech_folder, one, f"init={staged}", "codec.causal=true")
    causal = load_model(train(recipe, tmp_path / "run", device=CPU)).codec
    centred = load_model(staged / "model.safetensors").codec
    assert causal.config.causal
    assert not centred.config.causal
    kernels = 0
    for mine, theirs in ((causal.encoder, centred.encoder), (causal.decoder, centred.decoder)):
        for name, weight in mine.named_parameters():
            origin = theirs.get_parameter(name)
            if weight.shape[-1] == 7:  # a kernel: the weight of a frame stays with that frame
                origin = torch.nn.functional.pad(origin[..., :4], (3, 0))
                kernels += 1
            torch.testing.assert_close(weight, origin)
    blocks = centred.config.backbone.model_dump()
    assert kernels == blocks["encoder_blocks"] + blocks["decoder_blocks"] + 1


def test_a_decoder_of_directions_begins_with_one_of_angles(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    one = "stages=[{name: more, steps: 1, optimizer: {learning_rate: 1e-9, warmup_steps: 0}}]"
    turned = f"init={staged}", "codec.backbone.phase=direction"
    recipe = make_recipe(speech_folder, one, *turned)
    mine = load_model(train(recipe, tmp_path / "run", device=CPU)).codec
    theirs = load_model(staged / "model.safetensors").codec
    origin = theirs.state_dict()
    head = {"decoder.project.1.weight", "decoder.project.1.bias"}
    for name, weight in mine.named_parameters():
        if name in head:  # the levels are kept
            bins = len(weight) // 3
            assert len(origin[name]) == 2 * bins
            torch.testing.assert_close(weight[:bins], origin[name][:bins])
        else:
            torch.testing.assert_close(weight, origin[name])
    # The other way there is nothing to begin with, nor where more than that is another.
    model = tmp_path / "directions.safetensors"
    save_model(model, mine, {})
    with pytest.raises(RecipeError, match=r"differ in backbone\)"):
        train(make_recipe(speech_folder, one, f"init={model}"), tmp_path / "a", device=CPU)
    wider = make_recipe(speech_folder, one, *turned, "codec.backbone.decoder_width=12")
    with pytest.raises(RecipeError, match=r"differ in backbone\)"):
        train(wider, tmp_path / "b", device=CPU)


def test_a_smaller_decoder_begins_with_some_of_the_blocks(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    """And is a decoder of the same tokens."""
    config = load_model(staged / "model.safetensors").codec.config
    backbone = config.backbone.model_copy(update={"decoder_blocks": 4})
    deep = Codec(config.model_copy(update={"backbone": backbone}))
    model = tmp_path / "deep.safetensors"
    fingerprint = save_model(model, deep, {})

    def begin(blocks: str, *more: str, init: str = f"init={model}") -> Codec:
        optimizer = "{learning_rate: 1e-9, warmup_steps: 0}"
        one = f"stages=[{{name: more, steps: 1, trains: decoder, optimizer: {optimizer}}}]"
        fewer = init, f"init_decoder_blocks={blocks}", "codec.backbone.decoder_blocks=2"
        run = tmp_path / str(len(list(tmp_path.iterdir())))
        recipe = make_recipe(speech_folder, one, *fewer, *more)
        made = load_model(train(recipe, run, device=CPU))
        assert made.fingerprint == fingerprint
        return made.codec

    small = begin("[1, 3]")
    for mine, theirs in zip(small.decoder.blocks, deep.decoder.blocks[1::2], strict=True):
        for name, weight in mine.named_parameters():
            torch.testing.assert_close(weight, theirs.get_parameter(name))
    with pytest.raises(
        RecipeError, match=r"names 3 blocks, .*decoder_blocks is 2: make them agree"
    ):
        begin("[1, 2, 3]")
    with pytest.raises(RecipeError, match=r"each block once and in their order, got \[3, 1\]"):
        begin("[3, 1]")
    with pytest.raises(RecipeError, match=r"init_decoder_blocks: whose\? name the model"):
        begin("[1, 3]", init="init=null")
    with pytest.raises(
        RecipeError, match=r"has 4 blocks and the recipe's 2: .* init_decoder_blocks"
    ):
        begin("null")
    wave = "codec.backbone={family: waveform, strides: [20, 16], width: 2}"
    with pytest.raises(RecipeError, match=r"family waveform has no such blocks; leave it out"):
        begin("[1, 3]", wave)
    other = tmp_path / "waveform.safetensors"
    save_model(
        other,
        Codec(
            make_recipe(
                speech_folder, wave, "discriminators=[]", "stages=[{name: a, steps: 1}]"
            ).codec
        ),
        {},
    )
    with pytest.raises(RecipeError, match=r"waveform.safetensors has no blocks, and no block 3"):
        begin("[1, 3]", init=f"init={other}")
    with pytest.raises(RecipeError, match=r"has the blocks 0 to 3, and no block 4"):
        begin("[1, 4]")
    with pytest.raises(RecipeError, match=r"differ in backbone\)"):
        begin("[1, 3]", "codec.backbone.decoder_width=12")


def test_what_cannot_become_causal_or_centred(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    def begin(init: Path, *more: str) -> None:
        recipe = make_recipe(speech_folder, f"init={init}", *more)
        train(recipe, tmp_path / str(len(list(tmp_path.iterdir()))), device=CPU)

    wave = (
        "codec.backbone={family: waveform, strides: [20, 16], width: 2}",
        "discriminators=[]",
        "stages=[{name: a, steps: 1}]",
    )
    model = tmp_path / "waveform.safetensors"
    save_model(model, Codec(make_recipe(speech_folder, *wave).codec), {})
    with pytest.raises(RecipeError, match=r"is a centred codec, .* only one of the family frames"):
        begin(model, *wave, "codec.causal=true")
    causal = tmp_path / "causal.safetensors"
    save_model(causal, Codec(make_recipe(speech_folder, "codec.causal=true").codec), {})
    with pytest.raises(RecipeError, match=r"is a causal codec, and the recipe's is not"):
        begin(causal)
    with pytest.raises(RecipeError, match=r"must learn to encode again .* trains: codec"):
        begin(staged, "codec.causal=true", "stages=[{name: a, steps: 1, trains: decoder}]")
    with pytest.raises(RecipeError, match=r"differ in quantizer\)"):  # causal may differ
        begin(staged, "codec.causal=true", "codec.quantizer.codebook_size=32")


def test_a_model_to_go_on_from_that_does_not_fit(speech_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"init: speech-16k is another codec .*leave codec out"):
        train(make_recipe(speech_folder, "init=speech-16k"), tmp_path / "run", device=CPU)
    with pytest.raises(ModelError, match="nowhere"):
        # Nor is there speech: the model is missed first, for speech may have to be fetched.
        train(make_recipe(tmp_path, "init=nowhere/x.safetensors"), tmp_path / "b", device=CPU)
    assert find_model("speech-16k").codec.sample_rate == 16000


def test_a_run_goes_on_without_the_model_that_it_began_with(
    staged: Path, speech_folder: Path, tmp_path: Path
) -> None:
    origin = shutil.copy(staged / "model.safetensors", tmp_path / "origin.safetensors")
    one = "stages=[{name: more, steps: 1, loss: {}}]"
    recipe = make_recipe(speech_folder, one, f"init={origin}")
    made = train(recipe, tmp_path / "run", device=CPU)
    origin.unlink()
    assert train(recipe, tmp_path / "run", device=CPU) == made


# Parts of a step


def test_a_step_in_parts_has_the_gradient_of_the_whole(speech_folder: Path, tmp_path: Path) -> None:
    """Where codebooks move between the parts it cannot be: here they are frozen."""
    norms = []
    for parts in (1, 2):
        run = tmp_path / str(parts)
        recipe = make_recipe(
            speech_folder,
            "stages=[{name: tune, steps: 1, trains: decoder, loss: {mel_windows: [256]}}]",
            f"data.accumulate={parts}",
            "codec.quantizer.dropout=0",
        )
        train(recipe, run, device=CPU)
        norms.append(log_lines(run, "train")[0]["gradient_norm"])
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_a_level_that_collapses_is_told_once() -> None:
    guards = Guards((100, 100), CPU)
    config = CollapseConfig(below=0.05, steps=30)
    low = CodebookUsage(num_tokens=500, used=0.03, perplexity=3, entropy=1.6, efficiency=0.2)
    fine = CodebookUsage(num_tokens=500, used=0.9, perplexity=80, entropy=6.3, efficiency=0.95)
    told = [guards.alarms([fine, low], 10, config) for _ in range(5)]
    assert [len(alarms) for alarms in told] == [0, 0, 1, 0, 0]
    assert "codebook 1 collapses: perplexity 3 of 100 codes" in told[2][0]
    guards.alarms([fine, fine], 10, config)
    again = [guards.alarms([low, low], 10, config) for _ in range(3)]
    assert [len(alarms) for alarms in again] == [0, 0, 2]


def test_codes_are_counted_on_the_device() -> None:
    guards = Guards((4, 3), CPU)
    guards.note_codes(torch.tensor([[[0, 1, 1], [2, -1, 2]]]), torch.tensor([1, 2]))
    guards.note_codes(torch.tensor([[[3, 3], [-1, -1]]]), torch.tensor([0, 5]))
    usage = guards.take_usage()
    assert [(u.num_tokens, u.used) for u in usage] == [(5, 0.75), (2, pytest.approx(1 / 3))]
    assert guards.take_restarts().tolist() == [1, 7]
    assert [u.num_tokens for u in guards.take_usage()] == [0, 0]


# Several processes

WORKER = """
import sys; from pathlib import Path; import torch
from vqaudio.recipe import load_recipe; from vqaudio.train import train
train(load_recipe(Path(sys.argv[1]), sys.argv[3:]), Path(sys.argv[2]), device=torch.device("cpu"))
"""


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def run_processes(run: Path, count: int, arguments: list[str]) -> list[int]:
    """As torchrun starts them."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(TINY), str(run), *arguments],
            env={
                **os.environ,
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            },
            stderr=subprocess.DEVNULL if rank else None,
        )
        for rank in range(count)
    ]
    return [process.wait(timeout=240) for process in started]


def test_two_processes_train_the_model_of_one(speech_folder: Path, tmp_path: Path) -> None:
    """Half of each batch on each of two gloo processes: the joined batch on one.

    Then a stage with discriminators, balanced losses and parts, whose means over half a batch are
    not those over the whole: it has to end, and to leave a model.
    """
    steps = """stages=[
      {name: metric, steps: 5, loss: {mel_windows: [256]},
       optimizer: {warmup_steps: 2, learning_rate: 1e-4}},
      {name: adversarial, steps: 3, loss: {adversarial: 1, features: 1, balance: true}}]"""
    arguments = overrides(
        speech_folder, steps, "codec.quantizer.dropout=0", "data.workers=0", "validate_every=4"
    )
    assert run_processes(tmp_path / "two", 2, arguments) == [0, 0]
    train(load_recipe(TINY, arguments), tmp_path / "one", device=CPU)
    one, two = state_at(tmp_path / "one", 5), state_at(tmp_path / "two", 5)
    for name, weight in one["codec"].items():
        torch.testing.assert_close(two["codec"][name], weight, rtol=2e-3, atol=2e-4)
    norms = [
        [line["gradient_norm"] for line in log_lines(tmp_path / name, "train")[:5]]
        for name in ("one", "two")
    ]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
    assert [line["step"] for line in log_lines(tmp_path / "two", "validation")] == [3, 7]
    assert load_model(tmp_path / "two" / "model.safetensors").card["steps"] == 8


def test_a_batch_that_does_not_divide(speech_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(speech_folder)
    from vqaudio.train.speech import find_speech
    from vqaudio.train.start import batches_of

    with pytest.raises(TrainingError, match=r"batch_size 4 does not divide among 3 processes"):
        batches_of(recipe, find_speech(recipe), first=0, rank=0, num_processes=3)
