"""Compose new music; the program is clara_app/compose.py."""

from clara import cli
from clara_app.compose import main

if __name__ == "__main__":
    cli.run(main)
