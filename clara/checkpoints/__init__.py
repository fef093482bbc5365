"""Trained models on disk: run folders, adapters, and the models that come with Clara."""
