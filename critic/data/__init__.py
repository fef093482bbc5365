"""Data for the classifiers: excerpts of human, corrupted and generated music."""
