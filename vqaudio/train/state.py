"""The state of a run on disk: all it takes to go on as if never stopped."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from vqaudio.codec.config import Config
from vqaudio.errors import TrainingError
from vqaudio.files import atomic
from vqaudio.recipe import WITHOUT_EFFECT, load_recipe

logger = logging.getLogger(__name__)

State = dict[str, Any]
"""Tensors and plain values, by the names of the parts, and "next_step"."""


class Part(Protocol):
    """What changes from step to step."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(run.glob("state-*.pt"))


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("state-"))


def save_state(run: Path, parts: Mapping[str, Part], *, next_step: int, keep: int) -> None:
    """Write run/state-<step>.pt, then remove all but the newest `keep`.

    There are no random states in it: those of a step are made of the seed and the step's number.

    Raises VqaudioError when it cannot be written.
    """
    state = {name: part.state_dict() for name, part in parts.items()}
    with atomic(run / f"state-{next_step:08d}.pt", durable=True) as temporary:
        # By way of memory: torch's own writer says "unexpected pos" where the disk is full.
        buffer = io.BytesIO()
        torch.save({**state, "next_step": next_step}, buffer)
        temporary.write_bytes(buffer.getbuffer())
    # Newer ones could not be read, or the run would have gone on from there.
    found = checkpoints(run)
    kept = [path for path in found if _step_of(path) <= next_step][-keep:]
    for path in found:
        if path not in kept:
            path.unlink()


def read_state(run: Path) -> State | None:
    """The newest checkpoint that can be read; None where there is none at all.

    Raises TrainingError when there are some and none can be read.
    """
    found = checkpoints(run)
    for path in reversed(found):
        try:
            # weights_only: tensors and plain values, nothing that runs.
            state: State = torch.load(path, map_location="cpu", weights_only=True)
            int(state["next_step"])
            return state
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            logger.warning("%s cannot be read (%s): going back to the one before.", path, reason)
            fault = f"{path} cannot be resumed ({reason}): remove the run folder to start again."
    if found:
        raise TrainingError(fault)
    return None


def restore(state: State, parts: Mapping[str, Part], run: Path) -> None:
    """Give each part what it had. Raises TrainingError when the state is of another run."""
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"{run} cannot be resumed, its state does not fit its recipe ({reason}): remove the "
            "run folder to start again."
        ) from error


def check_run_folder(
    run: Path,
    recipe: Config,
    *,
    load: Callable[[Path], Config] = load_recipe,
    without_effect: Any = WITHOUT_EFFECT,
) -> None:
    """Check that `run` is new or empty, or holds a run of this recipe.

    `load` reads a recipe of this kind; `without_effect` are the keys that may have changed.

    Raises TrainingError when it holds something else, RecipeError when its recipe is none.
    """
    path = run / "recipe.yaml"
    if path.exists():
        earlier, now = (
            r.model_dump(mode="json", exclude=without_effect) for r in (load(path), recipe)
        )
        differing = [key for key, value in now.items() if earlier[key] != value]
        if differing:
            raise TrainingError(
                f"{run} holds a run of another recipe (they differ in {', '.join(differing)}): "
                "give another folder."
            )
    elif run.exists() and not _is_empty_folder(run):
        raise TrainingError(f"{run} is not empty and holds no run: give another folder.")


def claim_run_folder(run: Path, recipe: Config) -> None:
    """Put the recipe into a new run folder, or tidy up after an earlier call.

    Raises VqaudioError when it cannot be written.
    """
    path = run / "recipe.yaml"
    text = json.dumps(recipe.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic(path) as temporary:  # JSON is YAML 1.2
            temporary.write_text(text, "utf-8")
    for leftover in [*run.glob(".state-*.pt"), *run.glob(".*.safetensors")]:
        leftover.unlink()  # what a killed run was writing


def _is_empty_folder(path: Path) -> bool:
    """Empty but for hidden files, such as the recipe that a killed run was writing."""
    return path.is_dir() and all(entry.name.startswith(".") for entry in path.iterdir())
