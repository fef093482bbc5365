"""Training of classifiers with fastai."""
