"""What a run begins with: devices and processes, data, and networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vqaudio.checkpoint import Model
from vqaudio.codec import Codec, CodecOutput
from vqaudio.data import (
    Augmentation,
    CropBatch,
    Crops,
    batches,
    record_faults,
    validation_crops,
)
from vqaudio.discriminators import Discriminators
from vqaudio.errors import TrainingError
from vqaudio.losses import SemanticLoss, SemanticTeacher
from vqaudio.recipe import Recipe
from vqaudio.train.origin import take_over
from vqaudio.train.speech import Speech

VALIDATION_CROP_SECONDS = 3.0


def start_processes(recipe: Recipe, device: torch.device) -> Any:
    """An `accelerate.Accelerator`: this process's device and its place among others.

    The processes are those that `accelerate launch`, torchrun or SLURM have started; a process
    started by itself is alone.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # It remembers the device and the precision of an earlier run of the same program.
    AcceleratorState._reset_state(reset_partial_state=True)
    in_bfloat16 = recipe.precision == "bfloat16" or (
        recipe.precision == "auto" and _computes_bfloat16(device)
    )
    return Accelerator(
        mixed_precision="bf16" if in_bfloat16 else "no",
        cpu=device.type == "cpu",
        rng_types=[],
    )


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are native: emulated ones are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Older releases of torch cannot say.
    features: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


class Networks(NamedTuple):
    """All that learns or averages, on the device."""

    codec: Codec
    average: AveragedModel
    discriminators: Discriminators
    teacher: SemanticTeacher | None
    semantic: SemanticLoss | None

    @property
    def averaged(self) -> Codec:
        """The codec of the averaged weights: the model that a run makes."""
        return cast(Codec, self.average.module)

    @property
    def parts(self) -> dict[str, Any]:
        """What belongs into a checkpoint, by name; the teacher is as it always was."""
        parts = {
            "codec": self.codec,
            "average": self.average,
            "discriminators": self.discriminators,
            "semantic": self.semantic,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def semantic_loss(
        self, waveform: Tensor, num_samples: Tensor | None, output: CodecOutput
    ) -> Tensor:
        """Scalar: how far the first level is from what the teacher hears."""
        assert self.teacher is not None
        assert self.semantic is not None
        _, mask = self.codec.frames(num_samples, waveform.shape[-1])
        target = self.teacher(waveform, output.coarse.shape[1])
        loss: Tensor = self.semantic(output.coarse, target, mask)
        return loss


def make_networks(recipe: Recipe, device: torch.device, *, origin: Model | None) -> Networks:
    """As `recipe` wants them before its first step; `origin` is the model at its `init`.

    There is none to go on from where the recipe names none, or the networks are to be restored.

    Raises RecipeError when `origin` is another codec, TrainingError when the semantic teacher
    cannot be had, or the checkpoints of the run at `init` cannot be read.
    """
    torch.manual_seed(recipe.seed)
    codec = Codec(recipe.codec)
    discriminators = Discriminators(recipe.discriminators)
    teacher = semantic = None
    if recipe.semantic is not None:
        teacher = SemanticTeacher(
            recipe.semantic.bundle, sample_rate=codec.sample_rate, layer=recipe.semantic.layer
        ).to(device)
        semantic = SemanticLoss(recipe.codec.quantizer.dim, teacher.num_features).to(device)
    if origin is not None:
        take_over(origin, recipe, codec, discriminators)
    codec.to(device)
    average = AveragedModel(codec)
    if recipe.compile:
        codec.encoder.compile()
        codec.decoder.compile()
    return Networks(codec, average, discriminators.to(device), teacher, semantic)


def batches_of(
    recipe: Recipe, speech: Speech, *, first: int, rank: int, num_processes: int
) -> Iterator[CropBatch]:
    """This process's share of the batches from step `first` on.

    Raises TrainingError when the crops do not divide among the processes.
    """
    share, rest = divmod(recipe.data.batch_size, num_processes)
    if rest or share % recipe.data.accumulate:
        raise TrainingError(
            f"data.batch_size {recipe.data.batch_size} does not divide among {num_processes} "
            f"processes, each with {recipe.data.accumulate} parts (data.accumulate): choose a "
            "multiple."
        )
    sample_rate = recipe.codec.sample_rate
    crops = Crops(
        speech.shares,
        sample_rate=sample_rate,
        num_samples=round(recipe.data.crop_seconds * sample_rate),
        items=range(rank * share, (rank + 1) * share),
        speaker_balance=recipe.data.speaker_balance,
        augment=Augmentation(
            sample_rate=sample_rate,
            gain_db=recipe.data.gain_db,
            noise=recipe.data.noise,
            room=recipe.data.room,
        ),
        seed=recipe.seed,
    )
    return batches(crops, first=first, steps=recipe.steps, workers=recipe.data.workers)


def held_out_crops(recipe: Recipe, speech: Speech, run: Path) -> Tensor:
    """[N, 1, S]: what validation listens to; files that cannot be read are listed in the run."""
    sample_rate = recipe.codec.sample_rate
    crops = validation_crops(
        speech.validation,
        seconds=recipe.validation_seconds,
        num_samples=round(VALIDATION_CROP_SECONDS * sample_rate),
        sample_rate=sample_rate,
    )
    record_faults(run, crops.faults)
    return crops.waveform
