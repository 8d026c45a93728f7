"""What a run takes over from the model at its `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from vqaudio.checkpoint import Model
from vqaudio.codec import Codec, CodecConfig
from vqaudio.codec.frames import FramesDecoder
from vqaudio.discriminators import Discriminators
from vqaudio.errors import RecipeError
from vqaudio.layers import FrameConv1d
from vqaudio.recipe import Recipe
from vqaudio.train.state import read_state


def take_over(model: Model, recipe: Recipe, codec: Codec, discriminators: Discriminators) -> None:
    """The weights of the model at `init`, and a run's discriminators where the sizes are the same.

    Of the frame-rate family a causal codec may begin with a centred model, and with a stage in
    which all of it learns; one whose decoder says directions, with one that says angles; and a
    decoder of fewer blocks, with those of the model's that the recipe names. `model` is changed.

    Raises RecipeError for any other codec than the recipe's.
    """
    assert recipe.init is not None
    _check(model, recipe)
    decoder = cast(FramesDecoder, model.codec.decoder)
    if recipe.init_decoder_blocks is not None:
        decoder.keep_blocks(recipe.init_decoder_blocks)
    if _phase(recipe.codec) != _phase(model.codec.config):
        decoder.say_directions()
    codec.load_state_dict(model.codec.state_dict())
    if codec.config.causal and not model.codec.config.causal:
        for layer in codec.modules():
            if isinstance(layer, FrameConv1d):
                layer.look_back()
    state = read_state(Path(recipe.init)) if Path(recipe.init).is_dir() else None
    if state is None:
        return
    found = {name: tensor.shape for name, tensor in state["discriminators"].items()}
    wanted = {name: tensor.shape for name, tensor in discriminators.state_dict().items()}
    if found == wanted:
        discriminators.load_state_dict(state["discriminators"])


def _check(model: Model, recipe: Recipe) -> None:
    """Raises RecipeError for a model that cannot become the recipe's codec."""
    init = recipe.init
    ours, theirs = recipe.codec.model_dump(), model.codec.config.model_dump()
    becomes_causal = ours["causal"] and not theirs["causal"]
    if becomes_causal and ours["backbone"]["family"] == "frames":
        theirs["causal"] = True
    if (_phase(recipe.codec), _phase(model.codec.config)) == ("direction", "angle"):
        theirs["backbone"]["phase"] = "direction"
    if recipe.init_decoder_blocks is not None:
        _check_blocks(theirs["backbone"], recipe.init_decoder_blocks, init)
        theirs["backbone"]["decoder_blocks"] = len(recipe.init_decoder_blocks)
    differing = [key for key in ours if ours[key] != theirs[key]]
    if differing == ["causal"]:
        kind = "a centred" if becomes_causal else "a causal"
        raise RecipeError(
            f"init: {init} is {kind} codec, and the recipe's is not: only one of the family frames "
            "can be made causal, and none centred. Leave codec.causal as it is there."
        )
    blocks = [config["backbone"].pop("decoder_blocks", 0) for config in (ours, theirs)]
    if differing == ["backbone"] and ours == theirs and blocks[0] < blocks[1]:
        raise RecipeError(
            f"init: the decoder of {init} has {blocks[1]} blocks and the recipe's {blocks[0]}: say "
            "which of them it begins with, in init_decoder_blocks."
        )
    if differing:
        raise RecipeError(
            f"init: {init} is another codec than the recipe's (they differ in "
            f"{', '.join(differing)}): leave codec out to have the model's."
        )
    if becomes_causal and recipe.stages[0].trains == "decoder":
        raise RecipeError(
            f"init: {init} is a centred codec, and must learn to encode again to be a causal one: "
            "let the first stage have trains: codec."
        )


def _phase(config: CodecConfig) -> str | None:
    """How the decoder of a codec says phases; None in a family where it does not."""
    return getattr(config.backbone, "phase", None)


def _check_blocks(backbone: dict[str, Any], kept: tuple[int, ...], init: str | None) -> None:
    """Raises RecipeError where the decoder has not all of the blocks to be kept."""
    count = backbone.get("decoder_blocks", 0)
    if kept[-1] >= count:
        there = f"the blocks 0 to {count - 1}" if count else "no blocks"
        raise RecipeError(
            f"init_decoder_blocks: the decoder of {init} has {there}, and no block {kept[-1]}."
        )
