"""From a trained net to new words: what may come next, which of it is taken, the loop."""
