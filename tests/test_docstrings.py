"""Every public module, class and function has a docstring."""

import ast

import pytest
from examples import REPOSITORY

MODULES = sorted(
    path for room in ("clara", "critic", "data_prep", "clara_app") for path in (REPOSITORY / room).rglob("*.py")
)
MODULES = [path for path in MODULES if path.name != "__init__.py" or path.read_text()]


def public(body, prefix=""):
    """(name, node) of the classes and functions, and of the classes' methods, whose names begin with no underscore."""
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_whatever_is_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree.body) if not ast.get_docstring(node)] == []
