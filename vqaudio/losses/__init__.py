"""What training minimises."""

from vqaudio.losses.mel import MultiScaleMelLoss

__all__ = ["MultiScaleMelLoss"]
