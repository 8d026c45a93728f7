"""Recipes from their files, with errors that name the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vqaudio.checkpoint import find_model
from vqaudio.codec.config import (
    CodecConfig,
    Config,
    FramesConfig,
    QuantizerConfig,
    WaveformConfig,
)
from vqaudio.data import NoiseConfig, RoomConfig
from vqaudio.discriminators import (
    BandDiscriminatorConfig,
    PeriodDiscriminatorConfig,
    StftDiscriminatorConfig,
)
from vqaudio.errors import ModelError, RecipeError
from vqaudio.recipe.config import (
    CollapseConfig,
    CorpusConfig,
    DataConfig,
    DiscriminatorOptimizerConfig,
    LossConfig,
    OptimizerConfig,
    Recipe,
    SemanticConfig,
    StageConfig,
)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are "key.path=value" in YAML, applied before validation.

    An integer in a key path is an index: "data.corpora.0.root=speech".

    YAML 1.2: 3e-4 is a number, no is a word, a repeated key is an error.

    Raises RecipeError, which names the key, what came and what is allowed.
    """
    return parse_recipe(read_values(path, overrides), str(path))


def read_values(path: Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What stands in a YAML file (None: nothing), with `overrides` as in `load_recipe`.

    Raises RecipeError when it cannot be read, or holds no keys and values.
    """
    values = {} if path is None else _read_yaml(path)
    for override in overrides:
        _override(values, override)
    return values


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}.") from None
    except (YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date like 2024-13-45
        raise RecipeError(f"{path} is not valid YAML: {_yaml_problem(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is not a recipe: it must hold keys and values.")
    unshared: dict[str, Any] = _unshared(values)
    return unshared


def _unshared(value: Any) -> Any:
    """Every alias a copy of its own, so that --set changes one place."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unshared(inner) for inner in value]
    return value


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Validate the values of a recipe; `source` is named in errors."""
    if values.keys() & {"prior", "steps"} and not values.keys() & {"codec", "init", "stages"}:
        raise RecipeError(
            f"{source} is a recipe for `vqaudio prior train`, which makes language models over "
            "tokens, and not for `vqaudio train`."
        )
    if isinstance(values.get("init"), str) and "codec" not in values:
        values = {**values, "codec": _codec_of(values["init"], source)}
    return validate(Recipe, values, source)


AnyConfig = TypeVar("AnyConfig", bound=Config)


def validate(
    kind: type[AnyConfig],
    values: Mapping[str, Any],
    source: str,
    sections: Mapping[str, type[Config]] | None = None,
) -> AnyConfig:
    """Values as the configuration `kind`; `source` is named in errors.

    `sections` are the classes of the keys that have keys below them; those of a Recipe without it.

    Raises RecipeError, which names the key, what came and what is allowed.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        # A list with a wrong item is also reported as too short.
        inner = [p for p in problems if not any(_holds(p["loc"], q["loc"]) for q in problems)]
        locator = _Locator(kind, _SECTIONS if sections is None else sections)
        told = "; ".join(_problem(problem, locator) for problem in inner)
        raise RecipeError(f"{source}: {told}.") from None


def _codec_of(model: str, source: str) -> dict[str, Any]:
    """The configuration of the model to go on from."""
    try:
        return find_model(model).codec.config.model_dump(mode="json")
    except ModelError as error:
        raise RecipeError(f"{source}: init: {error}.") from None


def _holds(outer: tuple[str | int, ...], inner: tuple[str | int, ...]) -> bool:
    return len(outer) < len(inner) and inner[: len(outer)] == outer


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set takes key.path=value, got {override!r}.")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise RecipeError(f"--set {override}: {_yaml_problem(error)}.") from None
    *parents, last = path.split(".")
    node: Any = values
    for part in parents:
        if isinstance(node, dict):
            node.setdefault(part, {})
        node = node[_place(node, part, override)]
    node[_place(node, last, override)] = value


def _place(node: Any, part: str, override: str) -> str | int:
    """What `part` of a key path stands for in `node`: a key, or an index of a list."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise RecipeError(f"--set {override}: {part} has no place, there is {node!r} above it.")
    if not part.isdecimal() or int(part) >= len(node):
        raise RecipeError(
            f"--set {override}: {part} is no index of a list of {len(node)}, counted from 0."
        )
    return int(part)


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


# The parts of a validation error's location that name what the keys below them belong to.
_SECTIONS: dict[str, type[Config]] = {
    "codec": CodecConfig,
    "quantizer": QuantizerConfig,
    "data": DataConfig,
    "corpora": CorpusConfig,
    "noise": NoiseConfig,
    "room": RoomConfig,
    "stages": StageConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "discriminator_optimizer": DiscriminatorOptimizerConfig,
    "semantic": SemanticConfig,
    "collapse": CollapseConfig,
}

# A chosen kind stands in a location as if it were a key.
_KINDS: dict[str, dict[str, type[Config]]] = {
    "backbone": {"frames": FramesConfig, "waveform": WaveformConfig},
    "discriminators": {
        "stft": StftDiscriminatorConfig,
        "period": PeriodDiscriminatorConfig,
        "band": BandDiscriminatorConfig,
    },
}


class _Place(NamedTuple):
    """Where an error is."""

    keys: list[str]
    """As one would write them after --set."""
    section: type[Config]
    """What the last key is a key of."""


class _Locator(NamedTuple):
    """Finds the place of an error in a configuration."""

    root: type[Config]
    sections: Mapping[str, type[Config]]

    def locate(self, location: tuple[str | int, ...]) -> _Place:
        keys: list[str] = []
        section = self.root
        choice = ""
        for part in location:
            if part in _KINDS.get(choice, {}):
                section, choice = _KINDS[choice][str(part)], ""
                continue
            if keys:  # the key before was no last one, so it is a section
                section = self.sections.get(keys[-1], section)
            keys.append(str(part))
            choice = part if isinstance(part, str) else choice
        return _Place(keys, section)


def _problem(problem: ErrorDetails, locator: _Locator) -> str:
    """One validation error as "key.path: what is wrong"."""
    keys, section = locator.locate(problem["loc"])
    path = ".".join(keys)
    start = f"{path}: " if path else ""  # what concerns several sections names its key itself
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = list(section.model_fields)
        guess = difflib.get_close_matches(keys[-1], known, n=1)
        advice = f"did you mean {guess[0]}?" if guess else f"the keys here are {', '.join(known)}"
        return f"{path}: unknown key ({advice})"
    if kind == "missing":
        return f"{path}: missing"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag = "family" if keys[-1] == "backbone" else "kind"
        if kind == "union_tag_not_found":
            return f"{path}.{tag}: missing"
        allowed, found = problem["ctx"]["expected_tags"], problem["ctx"]["tag"]
        return f"{path}.{tag}: must be {allowed}, got {found!r}"
    message = str(problem["msg"]).replace("Input should be", "must be", 1)
    if kind == "value_error":
        return f"{start}{message.removeprefix('Value error, ')}"
    return f"{path}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"
