"""What training hears."""

from vqaudio.data.crops import CropBatch, Crops, batches, read_crop, validation_crops

__all__ = ["CropBatch", "Crops", "batches", "read_crop", "validation_crops"]
