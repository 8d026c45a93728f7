"""What a decoder is without some of its blocks, before it has learnt to do without them.

    python benchmarks/blocks.py RECIPE [--model MODEL] [--pairs]

The mel loss of validation, on the held-out crops of RECIPE (whose corpora have to be there), of the
model as it is, without each block, and with --pairs without each two of them. The blocks that are
missed least are those to leave out of `init_decoder_blocks`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from measuring import table
from torch import Tensor, nn

from vqaudio.checkpoint import find_model
from vqaudio.codec import Codec
from vqaudio.codec.frames import FramesDecoder
from vqaudio.losses import MultiScaleMelLoss
from vqaudio.recipe import load_recipe
from vqaudio.train.speech import find_speech
from vqaudio.train.start import held_out_crops
from vqaudio.train.validation import validate


def without(
    codec: Codec, left_out: Iterable[Sequence[int]], crops: Tensor, measure: MultiScaleMelLoss
) -> list[list[str]]:
    """A row for each: the blocks left out, the mel loss with all levels and with a quarter."""
    decoder = codec.decoder
    assert isinstance(decoder, FramesDecoder), "only the family frames has blocks"
    blocks = list(decoder.blocks)
    rows = []
    for places in left_out:
        decoder.blocks = nn.ModuleList(b for i, b in enumerate(blocks) if i not in places)
        found = validate(codec, crops, measure)
        name = ", ".join(map(str, places)) or "none"
        rows.append([name, f"{found.mel:.3f}", f"{found.mel_quarter_rate:.3f}"])
    decoder.blocks = nn.ModuleList(blocks)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="whose held-out speech is heard")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--pairs", action="store_true", help="without two blocks, too")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    codec = find_model(arguments.model).codec
    measure = MultiScaleMelLoss(codec.sample_rate, recipe.stages[0].loss.mel_windows)
    with tempfile.TemporaryDirectory() as folder:
        crops = held_out_crops(recipe, find_speech(recipe), Path(folder))
    count = codec.config.backbone.model_dump().get("decoder_blocks", 0)
    sizes = (0, 1, 2) if arguments.pairs else (0, 1)
    left_out = [places for size in sizes for places in combinations(range(count), size)]
    rows = without(codec, left_out, crops, measure)
    print(table(["without block", "mel loss", "with a quarter of the levels"], rows))


if __name__ == "__main__":
    main()
