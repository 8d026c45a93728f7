"""Neural codecs of others, by the libraries of their authors or Hugging Face's.

neural    what they have in common: codes at a sample rate of their own
weights   files from a folder, the local cache or the hub
encodec, dac, mimi, xcodec, snac   one codec each
"""

from vqaudio.systems.neural.neural import NeuralCoder, NeuralSystem
from vqaudio.systems.neural.peers import PEERS, Peer, find_coder, find_peer

__all__ = ["PEERS", "NeuralCoder", "NeuralSystem", "Peer", "find_coder", "find_peer"]
