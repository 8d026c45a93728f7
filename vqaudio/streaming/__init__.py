"""Sound to codes and codes to sound while they come: live, with what the layers remember.

side       the encoder or decoder of a codec, frame by frame, for one stream or several
encoder    samples in, codes out
decoder    codes in, samples out
together   many streams in one batch
snapshot   a stream put away as bytes, to go on elsewhere
"""

from vqaudio.streaming.decoder import StreamDecoder
from vqaudio.streaming.encoder import StreamEncoder
from vqaudio.streaming.side import Side, decoder_side, encoder_side
from vqaudio.streaming.together import flush_all, push_all

__all__ = [
    "Side",
    "StreamDecoder",
    "StreamEncoder",
    "decoder_side",
    "encoder_side",
    "flush_all",
    "push_all",
]
