"""Search for the recipe that learns most in a given time: recipes, their trials, the study and its report."""
