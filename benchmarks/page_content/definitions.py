"""What benchmark pages are made of."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    label : str
        Heading of the column.
    template : str
        Format string that turns a row of the result file into the cell.
    """

    label: str
    template: str


@dataclass(frozen=True)
class Table:
    """A table on a page, made from one result file.

    Attributes
    ----------
    result : str
        Name of the file in `benchmarks/results/`, without suffix.
    columns : tuple of Column
    heading : str
        Heading above the table; empty for none.
    text : str
        Paragraph above the table; `{name}` stands for a setting of the result file.
    select_rows : callable or None
        Takes the result and returns the rows to show (default: its `rows`).
    """

    result: str
    columns: tuple[Column, ...]
    heading: str = ""
    text: str = ""
    select_rows: Callable[[dict], list[dict]] | None = None


@dataclass(frozen=True)
class Page:
    """A page about one subject.

    Attributes
    ----------
    slug : str
        File name without suffix.
    title : str
    question : str
        The question that the page answers, for the index.
    text : str
        What is measured, and the limits of the measurement.
    tables : tuple of Table
    recipe : str
        How to make what the commands need, as Markdown below the tables; empty for nothing.
    """

    slug: str
    title: str
    question: str
    text: str
    tables: tuple[Table, ...] = field(default_factory=tuple)
    recipe: str = ""


def rows_of(table: str) -> Callable[[dict], list[dict]]:
    """Return a function that selects the rows of one table of a result file."""
    return lambda result: [row for row in result["rows"] if row["table"] == table]
