"""Perform scores: velocities, a tempo map and the sustain pedal."""
