"""Training: fastai's Learner for music, training runs and their folders, adapters, several processes."""
