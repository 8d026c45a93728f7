"""The state of a run on disk: all it takes to go on as if never stopped."""

from __future__ import annotations

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
from vqaudio.recipe import Recipe


class RunState(NamedTuple):
    """What changes from step to step, beside the step number and the random states."""

    codec: nn.Module
    average: AveragedModel
    optimizer: Optimizer
    schedule: LRScheduler

    def save(self, run: Path, *, next_step: int) -> None:
        """Write run/state.pt in place of the one before."""
        state: dict[str, Any] = {
            name: part.state_dict() for name, part in self._asdict().items()
        }
        state["next_step"] = next_step
        state["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            state["random_cuda"] = torch.cuda.get_rng_state_all()
        with atomic(run / "state.pt") as temporary:
            torch.save(state, temporary)

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
            raise TrainingError(
                f"{path} cannot be resumed ({str(error).splitlines()[0]}): "
                "remove the run folder to start again."
            ) from error


def claim_run_folder(run: Path, recipe: Recipe) -> None:
    """Create the folder with the recipe in it, or check that it holds a run of this recipe.

    Raises TrainingError when it holds something else.
    """
    text = json.dumps(recipe.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    path = run / "recipe.yaml"  # JSON is YAML 1.2
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise TrainingError(
                f"{run} holds a run of another recipe: give another folder with --out."
            )
    elif run.exists() and any(run.iterdir()):
        raise TrainingError(f"{run} is not empty and holds no run: give another folder with --out.")
    else:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
