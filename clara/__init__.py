"""Clara: a text language model for music. MIDI in, AWD-LSTM in the middle, new pieces out."""

__version__ = "0.1.0"
