"""Default values and choices of the command line and the page.

This module imports nothing heavy, so that `--help` answers at once. Tests check that the choices agree with the
modules that implement them.
"""

DEFAULT_MODEL = "notewise"
DEFAULT_N = 64
DEFAULT_TOP = 8
DEFAULT_QUARTERS = 64.0
DEFAULT_CANDIDATES_PER_BEAM = 2
DEFAULT_FILL_CANDIDATES = 64

# Temperatures are spread over a batch. Of 0.8 to 1, these come nearest to human music in the eyes of the critic.
MIN_TEMPERATURE = 0.8
MAX_TEMPERATURE = 0.95
TOP_P = 0.98

NO_RANKING = "none"
NO_AUDIO = "none"
AUDIO_FORMATS = ("wav", "flac", "mp3", NO_AUDIO)
PERFORMED_CHOICES = ("auto", "yes", "no")  # as in clara.listening.alignment
PRECISIONS = ("auto", "int8", "float32")
INSTALLED_MUSIC = "music21:"  # human excerpts from the pieces that music21 installs
