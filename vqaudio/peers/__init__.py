"""Neural codecs of others, by the libraries of their authors or Hugging Face's.

finding    by name or folder: which kind it is, its files, its fingerprint
codec      any of them with the manners of our own codec
network    what the kinds differ in
encodec, dac, mimi, xcodec, snac   one kind each
bandwidths EnCodec's and X-Codec's, as numbers of codebooks
"""

from vqaudio.peers.codec import PeerCodec
from vqaudio.peers.finding import KINDS, Peer, find_files, load_codec, load_peer

__all__ = ["KINDS", "Peer", "PeerCodec", "find_files", "load_codec", "load_peer"]
