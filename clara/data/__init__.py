"""From a folder of music to batches: sources, encoded corpora, and fastai DataLoaders."""
