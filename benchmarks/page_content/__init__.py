"""The benchmark pages: what each page says, and the columns of its tables."""

from page_content import dreaming, form, judging, listening, models, notation, performing, reliability, speed
from page_content.definitions import Column, Page, Table

__all__ = ["PAGES", "Column", "Page", "Table"]

PAGES = (
    *models.PAGES,
    *judging.PAGES,
    *dreaming.PAGES,
    *form.PAGES,
    *performing.PAGES,
    *listening.PAGES,
    *notation.PAGES,
    *speed.PAGES,
    *reliability.PAGES,
)
