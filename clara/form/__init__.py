"""The form of a piece, bar by bar: plans, how they are read from music, and how a generator follows them."""
