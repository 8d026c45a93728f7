"""Training, from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqaudio.checkpoint import find_model, save_model
from vqaudio.codec import Codec
from vqaudio.data import CropBatch, UnreadableError, record_faults
from vqaudio.errors import VqaudioError
from vqaudio.losses import MultiScaleMelLoss, discriminator_loss
from vqaudio.recipe import Recipe
from vqaudio.train.guards import Guards
from vqaudio.train.interrupts import Interrupts
from vqaudio.train.log import RunLog
from vqaudio.train.objective import judge
from vqaudio.train.speech import Speech, find_speech
from vqaudio.train.stage import Stage
from vqaudio.train.start import batches_of, held_out_crops, make_networks, start_processes
from vqaudio.train.state import (
    check_run_folder,
    checkpoints,
    claim_run_folder,
    read_state,
    restore,
    save_state,
)
from vqaudio.train.validation import validate


def train(recipe: Recipe, run: Path, *, device: torch.device) -> Path:
    """Run `recipe`, or what an earlier call left of it; returns the path of the model.

    Stopped at any moment, the same call goes on from the last checkpoint; Ctrl-C writes one first.
    On CPU, with the same number of threads, the model is that of an undisturbed run. Started by
    `accelerate launch` or torchrun, all processes train one model.

    Raises TrainingError, CorpusError; RecipeError when the folder's recipe is none or `init` does
    not fit; ModelError when there is no model at `init`; VqaudioError when the folder cannot be
    written.
    """
    check_run_folder(run, recipe)
    origin = None
    if recipe.init is not None and not checkpoints(run):
        origin = find_model(recipe.init)  # before gigabytes of speech are fetched for nothing
    speech = find_speech(recipe)
    accelerator = start_processes(recipe, device)
    is_main, num_processes = accelerator.is_main_process, accelerator.num_processes
    rank = accelerator.process_index
    if num_processes > 1:
        device = accelerator.device  # alone, it is the caller's: cuda:1 where that was asked for
    if is_main:
        claim_run_folder(run, recipe)  # not before there is speech: another root, another recipe
    accelerator.wait_for_everyone()

    saved = read_state(run)
    networks = make_networks(recipe, device, origin=origin)
    codec, discriminators = networks.codec, networks.discriminators
    guards = Guards(codec.codebook_sizes, device)
    parts = {**networks.parts, "guards": guards}
    first = 0 if saved is None else int(saved["next_step"])
    if saved is not None:
        restore(saved, parts, run)
    loader = batches_of(recipe, speech, first=first, rank=rank, num_processes=num_processes)
    held_out = held_out_crops(recipe, speech, run)
    # One measure for all stages, whatever they minimise.
    measure = MultiScaleMelLoss(codec.sample_rate, recipe.stages[0].loss.mel_windows).to(device)
    save = partial(_save_model, recipe=recipe, speech=speech, codec=networks.averaged)
    last_checkpoint = time.monotonic()

    with (
        RunLog(run, steps=recipe.steps, first=first, quiet=not is_main) as log,
        Interrupts(device, num_processes) as interrupts,
    ):
        if not len(held_out):
            log.say("the corpora of the recipe hold no speech to validate on")
        for config, begin, end in recipe.schedule():
            if end <= first:
                continue
            stage = Stage(config, networks, parts_per_step=recipe.data.accumulate)
            parts["stage"] = stage
            if saved is not None and begin < first:
                restore(saved, parts, run)
            for step in range(max(begin, first), end):
                # There is no random state to save: that of a step is made of its number.
                torch.manual_seed(_seed_of(recipe.seed, step, rank))
                stage.begin_step(step - begin)
                try:
                    with log.waiting():
                        batch = next(loader)
                except UnreadableError as error:
                    record_faults(run, error.faults)
                    raise
                with _surviving(log, step):
                    record_faults(run, batch.faults)

                for waveform, num_samples in _cut(batch, recipe.data.accumulate, device):
                    with accelerator.autocast():
                        output = codec(waveform, num_samples)
                    decoded = output.waveform[..., : waveform.shape[-1]]
                    # The losses hear the sound; the codec behind it gets their sum, in one pass.
                    heard = decoded.detach().float().requires_grad_()
                    judged, losses = None, {}
                    if stage.asks_discriminators:
                        # While they lead, nothing is to be known about the sound itself.
                        shown = heard if stage.hears_discriminators else heard.detach()
                        with accelerator.autocast():
                            judged = judge(discriminators, waveform, shown)
                        losses["discriminator"] = discriminator_loss(judged.real, judged.decoded)
                        stage.learn_to_judge(losses["discriminator"])
                    assessment = stage.objective(
                        heard, waveform, judged if stage.hears_discriminators else None
                    )
                    losses["commitment"] = output.commitment
                    losses["codebook_loss"] = output.codebook_loss
                    if config.loss.semantic:
                        losses["semantic"] = networks.semantic_loss(waveform, num_samples, output)
                    del judged  # what it remembers is large
                    stage.learn_to_code(decoded, assessment.gradient, losses)
                    guards.note_codes(output.codes, output.restarts)
                norms = stage.end_step()
                guards.note_gradients(norms)
                stage.note(assessment.losses, losses, assessment.norms, norms)
                networks.average.update_parameters(codec)

                log.step(step, heard=recipe.data.batch_size * recipe.data.crop_seconds)
                telling = (step + 1) % recipe.log_every == 0
                if telling:
                    guards.check_gradients(step)
                    usage = guards.take_usage()
                    log.training(step, stage.figures, usage, skipped=guards.take_skipped())
                    for alarm in guards.alarms(usage, recipe.log_every, recipe.collapse):
                        log.say(f"step {step}: {alarm}")
                finished = step + 1 == recipe.steps
                if is_main and len(held_out) and _is_nth(step, recipe.validate_every, finished):
                    result = validate(networks.averaged, held_out, measure)
                    log.validation(step, result, guards.take_restarts())
                    if result.mel < guards.best:
                        with _surviving(log, step):
                            save(run / "best.safetensors", steps=step + 1)
                            guards.best = result.mel
                stopping = interrupts.stops(telling=telling) and not finished
                due = time.monotonic() - last_checkpoint >= 60 * recipe.checkpoint_minutes
                if is_main and (step + 1 == end or due or stopping):
                    last_checkpoint = time.monotonic()
                    with _surviving(log, step, unless=finished or stopping):
                        # The model first: a run that is over by its state has its last model.
                        save(run / "model.safetensors", steps=step + 1)
                        save_state(run, parts, next_step=step + 1, keep=recipe.keep_checkpoints)
                if stopping:
                    log.say(f"interrupted after step {step}: the same call goes on from {run}")
                    raise KeyboardInterrupt
    if num_processes > 1:
        accelerator.end_training()
    return run / "model.safetensors"


@contextmanager
def _surviving(log: RunLog, step: int, *, unless: bool = False) -> Iterator[None]:
    """What cannot be written, to a full disk for one, does not end a run that is not over."""
    try:
        yield
    except VqaudioError as error:
        if unless:
            raise
        log.say(f"step {step}: {error}. The run goes on, older files stay.")


def _seed_of(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _is_nth(step: int, every: int, finished: bool) -> bool:
    return (step + 1) % every == 0 or finished


def _cut(
    batch: CropBatch, parts: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The parts of a batch, on the device: waveform [B / parts, 1, S] and its lengths, if any."""
    waveform = batch.waveform.to(device, non_blocking=True)
    if batch.num_samples is None:
        yield from ((part, None) for part in waveform.chunk(parts))
    else:
        lengths = batch.num_samples.to(device, non_blocking=True)
        yield from zip(waveform.chunk(parts), lengths.chunk(parts), strict=True)


def _save_model(path: Path, recipe: Recipe, speech: Speech, codec: Codec, *, steps: int) -> None:
    card = {
        "recipe": recipe.name,
        "description": recipe.description,
        "licence": recipe.licence,
        "init": recipe.init,
        "corpora": [corpus.name for corpus in recipe.data.corpora],
        "speakers": len({utterance.speaker for utterance in speech.train}),
        "hours_of_speech": round(sum(utterance.seconds for utterance in speech.train) / 3600, 2),
        "steps": steps,
        "stages": [span.config.name for span in recipe.schedule() if span.begin < steps],
        "hours_heard": round(recipe.hours_heard * steps / recipe.steps, 2),
        "seed": recipe.seed,
    }
    save_model(path, codec, card, dtype=getattr(torch, recipe.storage))
