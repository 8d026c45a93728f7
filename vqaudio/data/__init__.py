"""What training hears.

crops     step number -> the batch of that step
sampling  which utterance comes next: shares of corpora, balance of speakers
augment   level, noise and rooms
loading   batches read ahead by other processes
held_out  the crops of validation
faults    files that could not be read, and their list in the run folder
"""

from vqaudio.data.augment import Augmentation, NoiseConfig, RoomConfig
from vqaudio.data.crops import CropBatch, Crops, read_crop
from vqaudio.data.faults import Fault, UnreadableError, record_faults
from vqaudio.data.held_out import validation_crops
from vqaudio.data.loading import batches
from vqaudio.data.sampling import CorpusShare

__all__ = [
    "Augmentation",
    "CorpusShare",
    "CropBatch",
    "Crops",
    "Fault",
    "NoiseConfig",
    "RoomConfig",
    "UnreadableError",
    "batches",
    "read_crop",
    "record_faults",
    "validation_crops",
]
