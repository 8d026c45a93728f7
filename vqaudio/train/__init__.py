"""From a recipe to a run folder.

run/
    recipe.yaml          what was run, resolved
    model.safetensors    the averaged weights as of the last checkpoint: a model like any other
    state.pt             everything needed to go on as if never stopped
    log.jsonl            one line per logged step, one per validation
    tensorboard/         the same to look at, with sounds, where tensorboard is installed
"""

from vqaudio.train.loop import train

__all__ = ["train"]
