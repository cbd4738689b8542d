"""A study: several methods on one backbone, over seeds; what it runs, and the entries that tables
and figures are made of.
"""

from mue_cli.study.entries import entries, need, own_entries
from mue_cli.study.file import decomposed_run
from mue_cli.study.notes import notes

__all__ = ["decomposed_run", "entries", "need", "notes", "own_entries"]
