"""Sampling: settings, constraints and grammars, the choice of each token, the sampler and the search."""
