"""Compose in the browser; the program is clara_app/serve.py."""

from clara import cli
from clara_app.serve import main

if __name__ == "__main__":
    cli.run(main)
