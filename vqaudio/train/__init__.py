"""From a recipe to a run folder.

run/
    recipe.yaml          what was run, resolved
    model.safetensors    the averaged weights as of the last checkpoint: a model like any other
    best.safetensors     the same as of the best validation
    state-<step>.pt      everything needed to go on as if never stopped, the newest few
    log.jsonl            one line per logged step, two per validation
    unreadable.jsonl     recordings that were passed over, if any
    tensorboard/         the log to look at, with sounds, where tensorboard is installed
"""

from vqaudio.train.loop import train

__all__ = ["train"]
