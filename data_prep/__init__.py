"""From files to files: collections of music into corpora of text."""
