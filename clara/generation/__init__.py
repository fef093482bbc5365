"""Compose with a trained model: the generator, its requests and its samples."""
