"""Files to files: inspect collections of music and prepare them as corpora of text."""
