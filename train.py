"""See clara_app/train.py."""

from clara import cli
from clara_app.train import main

if __name__ == "__main__":
    cli.run(main)
