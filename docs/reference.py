"""Build the reference from the docstrings: python docs/reference.py [FOLDER]

Needs pdoc: pip install -e ".[docs]" -c constraints.txt. Leaves HTML that opens from disk and asks nothing of the
network, in docs/reference/ unless told otherwise; index.html is the way in.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS, PACKAGES = ("app", "generate", "train"), ("clara", "critic", "data_prep", "web")
TYPE_ALONE = re.compile(r"</strong> \((.*?)\):</p></li>", re.DOTALL)  # our docstrings say all of a parameter on its line


def modules():
    """The names of all public modules, packages first."""
    paths = [path.relative_to(ROOT).with_suffix("") for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    return [*PROGRAMS, *(n for n in names if not any(part.startswith("_") for part in n.split(".")))]


def build(folder):
    """Write the pages into a folder."""
    import pdoc

    folder = Path(folder)
    pdoc.render.configure(docformat="numpy", show_source=False, footer_text="Clara")
    pdoc.pdoc(*PROGRAMS, *PACKAGES, output_directory=folder)
    for page in folder.rglob("*.html"):
        page.write_text(TYPE_ALONE.sub(r"</strong>: \1</p></li>", page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference"
    build(where)
    print(where / "index.html")
