"""Repeats in a text: where it says again what it said before, and how much that tells about the next token."""
