"""Training, from top to bottom."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vqaudio.checkpoint import save_model
from vqaudio.codec import Codec
from vqaudio.corpora import CORPORA, Utterance
from vqaudio.data import Crops, batches, validation_crops
from vqaudio.errors import CorpusError, TrainingError
from vqaudio.losses import MultiScaleMelLoss
from vqaudio.quantizers import CodebookUsage, count_codes
from vqaudio.recipe import OptimizerConfig, Recipe
from vqaudio.train.log import RunLog
from vqaudio.train.state import RunState, check_run_folder, claim_run_folder

MAX_SKIPPED = 50
"""Steps in a row with a loss or gradient that is no number, after which the run is lost."""

VALIDATION_CROP_SECONDS = 3.0

Tensors = tuple[Tensor, ...] | list[Tensor]


def train(recipe: Recipe, run: Path, *, device: torch.device) -> Path:
    """Run `recipe`, or what an earlier call left of it; returns the path of the model.

    Stopped at any moment, the same call goes on from the last checkpoint; Ctrl-C writes one first.
    On CPU, with the same number of threads, the model is that of an undisturbed run.

    Raises TrainingError, CorpusError; RecipeError when the folder's recipe is none; VqaudioError
    when the folder cannot be written.
    """
    check_run_folder(run, recipe)
    speech = find_speech(recipe)
    claim_run_folder(run, recipe)  # not before there is speech: another root makes another recipe
    torch.manual_seed(recipe.seed)
    sample_rate = recipe.codec.sample_rate
    num_samples = round(recipe.data.crop_seconds * sample_rate)
    crops = Crops(
        speech.train,
        sample_rate=sample_rate,
        batch_size=recipe.data.batch_size,
        num_samples=num_samples,
        speaker_balance=recipe.data.speaker_balance,
        gain_db=recipe.data.gain_db,
        seed=recipe.seed,
    )
    held_out = validation_crops(
        speech.validation,
        seconds=recipe.validation_seconds,
        num_samples=round(VALIDATION_CROP_SECONDS * sample_rate),
        sample_rate=sample_rate,
    )

    codec = Codec(recipe.codec).to(device).train()
    average = AveragedModel(codec, multi_avg_fn=_weight_average(recipe.optimizer.weight_ema))
    averaged = cast(Codec, average.module)
    mel_loss = MultiScaleMelLoss(sample_rate, recipe.loss.mel_windows).to(device)
    optimizer = torch.optim.AdamW(
        codec.parameters(),
        lr=recipe.optimizer.learning_rate,
        betas=recipe.optimizer.betas,
        weight_decay=recipe.optimizer.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate_factor(step, recipe.optimizer, recipe.steps)
    )
    state = RunState(codec, average, optimizer, schedule)
    first = state.restore(run)
    loader = batches(crops, first=first, steps=recipe.steps, workers=recipe.data.workers)

    in_bfloat16 = recipe.precision == "bfloat16" or (
        recipe.precision == "auto" and _computes_bfloat16(device)
    )
    skipped = 0
    # Since the last validation, or since this call.
    restarts = torch.zeros(recipe.codec.quantizer.num_codebooks, dtype=torch.int64, device=device)
    last_checkpoint = time.monotonic()
    with RunLog(run, steps=recipe.steps, first=first) as log, _interrupts_wait() as interrupted:
        if not len(held_out):
            log.say("the corpora of the recipe hold no speech to validate on")
        for step in range(first, recipe.steps):
            with log.waiting():
                batch = next(loader)
            waveform = batch.waveform.to(device, non_blocking=True)
            lengths = None if batch.num_samples is None else batch.num_samples.to(device)

            with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
                output = codec(waveform, lengths)
            mel = mel_loss(output.waveform[..., :num_samples], waveform)
            loss = mel + recipe.loss.commitment * output.commitment + output.codebook_loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            gradient_norm = torch.nn.utils.clip_grad_norm_(
                codec.parameters(), recipe.optimizer.max_gradient_norm
            )
            restarts += output.restarts
            finished = step + 1 == recipe.steps

            if torch.isfinite(gradient_norm):
                optimizer.step()
                average.update_parameters(codec)
                skipped = 0
            else:
                skipped += 1
                log.say(f"step {step}: the gradient is {gradient_norm.item()}, step skipped")
                if skipped == MAX_SKIPPED:
                    raise TrainingError(
                        f"the last {skipped} steps up to step {step} had no finite gradient: lower "
                        "optimizer.learning_rate and start anew in another folder."
                    )
            schedule.step()

            log.step(step, heard=recipe.data.batch_size * recipe.data.crop_seconds)
            if (step + 1) % recipe.log_every == 0:
                values = {
                    "loss": loss.item(),
                    "mel": mel.item(),
                    "commitment": output.commitment.item(),
                    "codebook_loss": output.codebook_loss.item(),
                    "gradient_norm": gradient_norm.item(),
                    "learning_rate": schedule.get_last_lr()[0],
                }
                log.training(step, values)
            if len(held_out) and ((step + 1) % recipe.validate_every == 0 or finished):
                _validate(averaged, held_out, mel_loss, step, log, restarts)
                restarts.zero_()

            due = time.monotonic() - last_checkpoint >= 60 * recipe.checkpoint_minutes
            if finished or ((due or interrupted.is_set()) and not skipped):
                # The model first: a run that is over by its state has its last model.
                _save_model(recipe, speech.train, averaged, run, steps=step + 1)
                state.save(run, next_step=step + 1)
                last_checkpoint = time.monotonic()
            if interrupted.is_set() and not finished:
                log.say(f"interrupted after step {step}: the same call goes on from {run}/state.pt")
                raise KeyboardInterrupt
    return run / "model.safetensors"


@contextmanager
def _interrupts_wait() -> Iterator[threading.Event]:
    """The first Ctrl-C only sets the event, so that a step is never cut; the second is as usual."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # where Python allows no handlers
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, usual)


class Speech(NamedTuple):
    """The utterances of a recipe; no speaker is in both."""

    train: list[Utterance]
    validation: list[Utterance]


def find_speech(recipe: Recipe) -> Speech:
    """The utterances of all corpora of a recipe, fetched first where they are missing.

    Raises CorpusError.
    """
    speech = Speech([], [])
    for wanted in recipe.data.corpora:
        corpus = CORPORA[wanted.name]
        root = Path(wanted.root)
        corpus.download(root, (*wanted.train, *wanted.validation))
        for splits, utterances in (
            (wanted.train, speech.train),
            (wanted.validation, speech.validation),
        ):
            for utterance in (u for split in splits for u in corpus.utterances(root, split)):
                # Two corpora may call different people by the same name.
                speaker = f"{wanted.name} {utterance.speaker}"
                utterances.append(replace(utterance, speaker=speaker))
    shared = {u.speaker for u in speech.train} & {u.speaker for u in speech.validation}
    if shared:
        raise CorpusError(
            f"{min(shared)} is among both the training and the validation speakers: give "
            "data.corpora splits that share none."
        )
    return speech


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are native: emulated ones are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Older releases of torch cannot say.
    features: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def _learning_rate_factor(step: int, config: OptimizerConfig, steps: int) -> float:
    """Linear warm-up, then a cosine to zero at the last step."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _weight_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average that forgets the untrained weights.

    Its window is about a ninth of the steps so far, until that is the window of `decay`.
    """

    def update(averages: Tensors, weights: Tensors, count: Tensor | int) -> None:
        torch._foreach_lerp_(averages, weights, max(1 - decay, 9 / (10 + int(count))))

    return update


@torch.inference_mode()
def _validate(
    codec: Codec,
    held_out: Tensor,
    mel_loss: MultiScaleMelLoss,
    step: int,
    log: RunLog,
    restarts: Tensor,
) -> None:
    """Mel loss at full and at a quarter of the rate, codebook usage, one sound."""
    codec.eval()
    quarter = max(len(codec.codebook_sizes) // 4, 1)
    device = restarts.device
    counts = [torch.zeros(size, dtype=torch.int64) for size in codec.codebook_sizes]
    full_loss = quarter_loss = 0.0
    for waveform in torch.split(held_out.to(device), 4):
        codes = codec.encode(waveform)
        decoded = codec.decode(codes)[..., : waveform.shape[-1]]
        coarse = codec.decode(codes[:, :quarter])[..., : waveform.shape[-1]]
        full_loss += mel_loss(decoded, waveform).item() * len(waveform)
        quarter_loss += mel_loss(coarse, waveform).item() * len(waveform)
        for level, total in enumerate(counts):
            total += count_codes(codes[:, level], len(total)).cpu()
    values = {"mel": full_loss / len(held_out), "mel_quarter_rate": quarter_loss / len(held_out)}
    log.scalars(step, "validation", values)
    log.say(
        f"step {step} validation: mel {values['mel']:.4f}, with {quarter} of "
        f"{len(counts)} levels {values['mel_quarter_rate']:.4f}"
    )
    log.health(step, [CodebookUsage.from_counts(total) for total in counts], restarts)
    log.sound(step, "original", waveform[0], codec.sample_rate)
    log.sound(step, "decoded", decoded[0], codec.sample_rate)


def _save_model(
    recipe: Recipe, heard: list[Utterance], codec: Codec, run: Path, *, steps: int
) -> None:
    card = {
        "recipe": recipe.name,
        "description": recipe.description,
        "licence": recipe.licence,
        "corpora": [corpus.name for corpus in recipe.data.corpora],
        "speakers": len({utterance.speaker for utterance in heard}),
        "hours_of_speech": round(sum(utterance.seconds for utterance in heard) / 3600, 2),
        "steps": steps,
        "hours_heard": round(recipe.hours_heard * steps / recipe.steps, 2),
        "seed": recipe.seed,
    }
    dtype = getattr(torch, recipe.storage)
    save_model(run / "model.safetensors", codec, card, dtype=dtype)
