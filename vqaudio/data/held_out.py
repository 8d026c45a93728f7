"""The crops of validation: the same for every run over the same corpora."""

from __future__ import annotations

from collections.abc import Sequence

from vqaudio.corpora import Utterance
from vqaudio.data.crops import CropBatch, read_crop, stack
from vqaudio.data.faults import Faults
from vqaudio.errors import AudioError


def validation_crops(
    utterances: Sequence[Utterance], *, seconds: float, num_samples: int, sample_rate: int
) -> CropBatch:
    """Crops from the middle of utterances spread over all held-out speech; none without speech.

    Utterances too short for a crop are passed over, unless all are: then the crops end in zeros.
    What cannot be read is left out, and named in the batch's faults.
    """
    long_enough = [u for u in utterances if round(u.seconds * sample_rate) >= num_samples]
    candidates = long_enough or utterances
    count = min(max(round(seconds * sample_rate / num_samples), 1), len(candidates))
    faults = Faults()
    crops = []
    for index in range(count):
        utterance = candidates[index * len(candidates) // count]
        try:
            crops.append(read_crop(utterance, 0.5, num_samples, sample_rate))
        except AudioError as error:
            faults.note(utterance.path, error)
    return stack(crops, num_samples)._replace(faults=faults.take())
