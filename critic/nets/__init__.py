"""The networks of the ensemble members, and how music becomes their input."""
