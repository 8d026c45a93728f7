"""What training minimises."""

from vqaudio.losses.adversarial import discriminator_loss, feature_loss, generator_loss
from vqaudio.losses.balance import Balanced, Balancer
from vqaudio.losses.mel import MultiScaleMelLoss
from vqaudio.losses.phase import PhaseLoss
from vqaudio.losses.semantic import SemanticLoss, SemanticTeacher
from vqaudio.losses.stft import MultiResolutionStftLoss
from vqaudio.losses.waveform import waveform_loss

__all__ = [
    "Balanced",
    "Balancer",
    "MultiResolutionStftLoss",
    "MultiScaleMelLoss",
    "PhaseLoss",
    "SemanticLoss",
    "SemanticTeacher",
    "discriminator_loss",
    "feature_loss",
    "generator_loss",
    "waveform_loss",
]
