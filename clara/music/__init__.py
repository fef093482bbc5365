"""The music itself: notes on a grid, readers and writers of files, keys and instruments."""
