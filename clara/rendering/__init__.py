"""Show music: audio, piano rolls, sheet music, plots, and the folder and page that composing leaves."""
