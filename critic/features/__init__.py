"""Features of music: descriptors, segments, and measures of sets of pieces."""
