"""The commands in README and in the guides are ones that the programs accept."""

import importlib
import re
import shlex

import pytest
from examples import REPOSITORY

from clara_app.__main__ import SUBCOMMANDS

SCRIPTS = {"generate.py": "clara_app.compose", "train.py": "clara_app.train", "app.py": "clara_app.serve"}
TOY_ENCODING = "add-an-encoding.md"  # its commands need the encoding that it adds; tests/clara/encodings runs them
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name != TOY_ENCODING),
]


def find_commands():
    """Return the words of each command of ours in a code block."""
    commands = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        for line in lines:
            for command in line.split("#")[0].split("&&"):
                words = shlex.split(command) if command.strip().startswith(("clara ", "python ")) else []
                if words:
                    commands.append(pytest.param(words, id=f"{document.name}: {command.strip()}"))
    return commands


def find_parser(words):
    """Return the parser of a command, and its flags and arguments."""
    if words[0] == "clara":
        return importlib.import_module(SUBCOMMANDS[words[1]][0]).parser(), words[2:]
    if words[1] == "-m":
        return importlib.import_module(words[2]).parser(), words[3:]
    return importlib.import_module(SCRIPTS[words[1]]).parser(), words[2:]


@pytest.mark.parametrize("words", find_commands())
def test_a_documented_command_is_accepted(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    parser, flags = find_parser(words)
    assert parser.parse_args(flags)


def test_readme_begins_with_the_two_commands():
    head = (REPOSITORY / "README.md").read_text(encoding="utf-8")[:2500]
    assert "pip install -e . -c constraints.txt && python generate.py\n" in head
    assert 'pip install -e ".[test]" -c constraints.txt && pytest\n' in head
