"""Imports run one way: from the rooms above to the rooms below, without circles."""

import ast

import pytest
from examples import REPOSITORY

ROOMS = ["clara_app", "critic", "data_prep", "clara"]  # from the top down


def find_modules():
    """Return {dotted name: path} of all modules of the rooms."""
    paths = [path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")]
    names = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths))


MODULES = find_modules()


def read_imports(path):
    """Return the modules of ours that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return {name for name in found if name in MODULES}


IMPORTS = {name: read_imports(path) - {name} for name, path in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_room_and_below(name):
    level = ROOMS.index(name.split(".")[0])
    above = {other for other in IMPORTS[name] if ROOMS.index(other.split(".")[0]) < level}
    assert not above


def test_there_are_no_circles():
    # a package's lazy __init__ names what is inside; it is no dependency
    graph = {name: {n for n in IMPORTS[name] if n not in ROOMS} for name in IMPORTS if name not in ROOMS}
    finished, on_path = set(), []

    def visit(name):
        assert name not in on_path, " -> ".join([*on_path[on_path.index(name) :], name])
        if name in finished:
            return
        on_path.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        on_path.pop()
        finished.add(name)

    for name in sorted(graph):
        visit(name)
