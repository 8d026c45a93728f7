"""The state of a run on disk: all it takes to go on as if never stopped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from vqaudio.errors import TrainingError
from vqaudio.files import atomic
from vqaudio.recipe import Recipe, load_recipe


class RunState(NamedTuple):
    """What changes from step to step, beside the step number and the random states."""

    codec: nn.Module
    average: AveragedModel
    optimizer: Optimizer
    schedule: LRScheduler

    def save(self, run: Path, *, next_step: int) -> None:
        """Write run/state.pt in place of the one before."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._asdict().items()}
        state["next_step"] = next_step
        state["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            state["random_cuda"] = torch.cuda.get_rng_state_all()
        with atomic(run / "state.pt") as temporary:
            # By way of memory: torch's own writer says "unexpected pos" where the disk is full.
            buffer = io.BytesIO()
            torch.save(state, buffer)
            temporary.write_bytes(buffer.getbuffer())

    def restore(self, run: Path) -> int:
        """Read run/state.pt where there is one; returns the step to go on with.

        Raises TrainingError when the file is there and cannot be used.
        """
        path = run / "state.pt"
        if not path.exists():
            return 0
        try:
            # weights_only: tensors and plain values, nothing that runs.
            state = torch.load(path, map_location="cpu", weights_only=True)
            for name, part in self._asdict().items():
                part.load_state_dict(state[name])
            torch.set_rng_state(state["random"])
            if "random_cuda" in state and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(state["random_cuda"])
            return int(state["next_step"])
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise TrainingError(
                f"{path} cannot be resumed ({reason}): remove the run folder to start again."
            ) from error


def check_run_folder(run: Path, recipe: Recipe) -> None:
    """Check that `run` is new or empty, or holds a run of this recipe.

    Raises TrainingError when it holds something else, RecipeError when its recipe is none.
    """
    path = run / "recipe.yaml"
    if path.exists():
        earlier = load_recipe(path)
        differing = [key for key, value in recipe if getattr(earlier, key) != value]
        if differing:
            raise TrainingError(
                f"{run} holds a run of another recipe (they differ in {', '.join(differing)}): "
                "give another folder with --out."
            )
    elif run.exists() and not _is_empty_folder(run):
        raise TrainingError(f"{run} is not empty and holds no run: give another folder with --out.")


def claim_run_folder(run: Path, recipe: Recipe) -> None:
    """Put the recipe into a new run folder, or tidy up after an earlier call.

    Raises VqaudioError when it cannot be written.
    """
    path = run / "recipe.yaml"
    if not path.exists():
        values = recipe.model_dump(mode="json")
        with atomic(path) as temporary:  # JSON is YAML 1.2
            temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for leftover in [*run.glob(".state.*.pt"), *run.glob(".model.*.safetensors")]:
        leftover.unlink()  # what a killed run was writing


def _is_empty_folder(path: Path) -> bool:
    """Empty but for hidden files, such as the recipe that a killed run was writing."""
    return path.is_dir() and all(entry.name.startswith(".") for entry in path.iterdir())
