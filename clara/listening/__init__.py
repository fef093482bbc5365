"""Listen to music as it is played: beats, bars and places on the grid from onsets in seconds."""
