"""The encoding that docs/add-an-encoding.md adds, taken from that page."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/add-an-encoding.md"
CODE = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]

exec(compile(CODE, str(PAGE), "exec"))  # defines Gridwise
Gridwise = globals()["Gridwise"]
