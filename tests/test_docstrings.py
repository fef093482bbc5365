"""Every public thing tells what it is, and the reference that is built of it is whole."""

import ast
import importlib.util
import re
from html.parser import HTMLParser

import pytest
from examples import REPOSITORY

MODULES = sorted(path for room in ("clara", "critic", "data_prep", "web") for path in (REPOSITORY / room).rglob("*.py"))
MODULES += [REPOSITORY / "generate.py", REPOSITORY / "train.py", REPOSITORY / "docs" / "reference.py"]


def public(body, prefix=""):
    """(name, node) of the classes and functions, and of the classes' methods, whose names begin with no underscore."""
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def assigned(tree):
    """The names that a module assigns at its top."""
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for target in node.targets for t in ast.walk(target)]
    return {t.id for t in targets if isinstance(t, ast.Name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_whatever_is_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree.body) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_contents_that_are_told_are_there(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _, _, contents = ast.get_docstring(tree).partition("Contents: ")
    there = assigned(tree) | {name for name, _ in public(tree.body)}
    assert set(re.findall(r"`(\w+)`", contents.split("\n\n")[0])) <= there


class Asked(HTMLParser):
    """What a page loads, as addresses and as scripts."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.loaded += [given["src"]] if "src" in given else []
        self.loaded += [given["href"]] if tag == "link" else []


def test_the_reference_holds_every_module_and_asks_nothing_of_the_network(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed; it comes with the extras docs and test")
    spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "docs" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reference.build(tmp_path)  # a warning of pdoc's about a docstring fails it, as any does
    names = reference.modules()
    assert {"clara.music.notes", "critic.rank", "data_prep.encode", "clara.models", "train"} <= set(names)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.html")} == {"index.html", *(f"{n.replace('.', '/')}.html" for n in names)}
    for path in tmp_path.rglob("*.html"):
        page, text = Asked(), path.read_text(encoding="utf-8")
        page.feed(text)
        assert all(address.startswith("data:") or "//" not in address for address in page.loaded), path
        assert not re.search(r"url\([\"']?(?!data:)[a-z]*:?//|@import|fetch\(|-{5,}\s*<", text), path
    assert "<strong>paths</strong>: list of Path</p>" in (tmp_path / "critic" / "rank.html").read_text(encoding="utf-8")
