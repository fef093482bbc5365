"""The benchmark pages: what each page says, and the columns of its tables."""

from page_content import form, judging, models, notation, performing, reliability, speed
from page_content.definitions import Column, Page, Table

__all__ = ["PAGES", "Column", "Page", "Table"]

PAGES = models.PAGES + judging.PAGES + form.PAGES + performing.PAGES + notation.PAGES + speed.PAGES + reliability.PAGES
