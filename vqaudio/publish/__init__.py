"""A model for others: its card, and both on the hub of Hugging Face."""

from vqaudio.publish.card import model_card
from vqaudio.publish.push import push

__all__ = ["model_card", "push"]
