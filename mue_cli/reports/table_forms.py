"""How a table looks: as plain text, Markdown, CSV, LaTeX, JSON, and as cells of a page."""

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mue_cli.reports.tables import Cell, Column, Estimate, Table


def to_text(table: Table) -> str:
    """Return the table as aligned text: words to the left, numbers to the right, a group behind a
    line, the caption below.
    """
    columns = [_padded(table, i) for i in range(len(table.columns))]
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    groups = _groups_in_text(table, [len(cells[0]) for cells in columns])
    return "\n".join([*groups, *lines, *table.caption]) + "\n"


def to_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, the caption as a paragraph below."""
    cells = [
        [_markdown(cell) for cell in row]
        for row in _shown(table, [column.full_name for column in table.columns])
    ]
    cells.insert(1, ["---:" if _is_number(column) else "---" for column in table.columns])
    caption = f"\n{_markdown(' '.join(table.caption))}\n" if table.caption else ""
    return "".join(f"| {' | '.join(row)} |\n" for row in cells) + caption


def to_csv(table: Table) -> str:
    """Return the table as CSV with full precision; an empty cell where there is nothing to say.

    An estimate has the column "<name> sd" after its mean, and "<name> low" and "<name> high" where
    an interval is known.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = [_csv_parts([row[i] for row in table.rows]) for i in range(len(table.columns))]
    writer.writerow(
        [
            f"{column.full_name}{name}"
            for column, named in zip(table.columns, parts, strict=True)
            for name in named
        ]
    )
    for row in table.rows:
        writer.writerow(
            [part(cell) for cell, named in zip(row, parts, strict=True) for part in named.values()]
        )
    return out.getvalue()


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX float, caption included, shrunk where it is wider than the page.
    Packages: booktabs, graphicx.
    """
    names, *rows = [" & ".join(cells) + r" \\" for cells in _latex_cells(table)]
    kinds = "".join(
        (r"@{\qquad}" if _opens_group(table, i) else "") + "lr"[_is_number(c)]
        for i, c in enumerate(table.columns)
    )
    top = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
    ]
    shrunk = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
    head = [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        *_groups_in_latex(table),
        names,
        r"\midrule",
    ]
    caption = [rf"\caption{{{_latex(' '.join(table.caption))}}}"] if table.caption else []
    return (
        "\n".join(
            [
                *top,
                shrunk,
                *head,
                *rows,
                r"\bottomrule",
                r"\end{tabular}}",
                *caption,
                r"\end{table*}",
            ]
        )
        + "\n"
    )


FORMS: Mapping[str, Callable[[Table], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
}
"""How a table is written, by the name of the form."""


def to_document(table: Table) -> dict[str, object]:
    """Return the table as JSON would hold it: a row is column -> value, an estimate an object."""
    names = [column.full_name for column in table.columns]
    rows = [dict(zip(names, map(_value, row), strict=True)) for row in table.rows]
    return dict(rows=rows, caption=" ".join(table.caption))


@dataclass(frozen=True)
class Cells:
    """A table as people read it. groups: (name, columns) from left to right, "" for columns of
    none; empty without groups. names, rows: each text with whether its column holds numbers.
    """

    groups: tuple[tuple[str, int], ...]
    names: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[tuple[str, bool], ...], ...]


def to_cells(table: Table) -> Cells:
    """Return the table's texts, for a page to lay out."""
    kinds = [_is_number(column) for column in table.columns]
    names, *rows = (
        tuple(zip(texts, kinds, strict=True))
        for texts in _shown(table, [column.name for column in table.columns])
    )
    groups: list[tuple[str, int]] = []
    at = 0
    for group, start, end in _spans(table):
        groups += [("", start - at)] if start > at else []
        groups.append((group, end - start))
        at = end
    return Cells(tuple(groups), names, tuple(rows))


def _shown(table: Table, names: list[str]) -> list[list[str]]:
    """Return the cells as people read them, `names` in the first row."""
    return [
        names,
        *(
            [_show(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ),
    ]


def _show(cell: Cell, column: Column) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, Estimate):
        mean = format(cell.mean, column.shown)
        return (
            mean
            if cell.sd is None
            else f"{mean.removesuffix('%')} ± {format(cell.sd, column.shown)}"
        )
    return " ".join(cell.splitlines()) if isinstance(cell, str) else format(cell, column.shown)


def _is_number(column: Column) -> bool:
    return bool(column.shown)


def _opens_group(table: Table, i: int) -> bool:
    return bool(table.columns[i].group) and (
        i == 0 or table.columns[i - 1].group != table.columns[i].group
    )


def _spans(table: Table) -> list[tuple[str, int, int]]:
    """Return each group with its first column and the one after its last."""
    starts = [i for i in range(len(table.columns)) if _opens_group(table, i)]
    sizes = [
        sum(column.group == table.columns[start].group for column in table.columns[start:])
        for start in starts
    ]
    return [
        (table.columns[start].group, start, start + size)
        for start, size in zip(starts, sizes, strict=True)
    ]


def _padded(table: Table, i: int) -> list[str]:
    """Return one column's cells, name and rule on top, all of one width; the line of a group stands
    before its first column.
    """
    column = table.columns[i]
    cells = [column.name, *_below_each_other([_show(row[i], column) for row in table.rows])]
    opens = _opens_group(table, i)
    width = max(map(len, [*cells, f"({column.group})" if opens else ""]))
    cells.insert(1, "-" * width)
    before = "| " if opens else ""
    return [
        before + (cell.rjust(width) if _is_number(column) else cell.ljust(width)) for cell in cells
    ]


def _below_each_other(cells: list[str]) -> list[str]:
    """Return cells padded so that means stand below each other, where a deviation follows some of
    them.
    """
    if not any("±" in cell for cell in cells):
        return cells
    numbers = [re.match(r"-?\d[\d.,]*", cell) for cell in cells]
    tails = [
        cell[number.end() :] if number else "" for cell, number in zip(cells, numbers, strict=True)
    ]
    width = max(map(len, tails))
    return [
        cell + " " * (width - len(tail)) if number else cell
        for cell, number, tail in zip(cells, numbers, tails, strict=True)
    ]


def _groups_in_text(table: Table, widths: list[int]) -> list[str]:
    line = ""
    for group, start, _ in _spans(table):
        line = line.ljust(sum(widths[:start]) + 2 * start) + f"| ({group})"
    return [line] if line else []


_MARKDOWN = str.maketrans({**{mark: f"\\{mark}" for mark in "\\`*_[]<>|~"}, "\n": " "})


def _markdown(text: str) -> str:
    return text.translate(_MARKDOWN)


def _csv_parts(cells: list[Cell]) -> dict[str, Callable[[Cell], Cell]]:
    """Return what stands for a column: the end of a name -> what is written of a cell."""
    estimates = [cell for cell in cells if isinstance(cell, Estimate)]
    parts: dict[str, Callable[[Cell], Cell]] = {
        "": lambda cell: cell.mean if isinstance(cell, Estimate) else cell
    }
    if estimates:
        parts[" sd"] = lambda cell: cell.sd if isinstance(cell, Estimate) else None
    if any(estimate.bounds for estimate in estimates):
        parts[" low"] = lambda cell: (
            cell.bounds[0] if isinstance(cell, Estimate) and cell.bounds else None
        )
        parts[" high"] = lambda cell: (
            cell.bounds[1] if isinstance(cell, Estimate) and cell.bounds else None
        )
    return parts


_LATEX = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
        # After the `\\` of the row above, these two would be read as its options.
        **{"[": "{[}", "*": "{*}"},
        **{"±": r"$\pm$", "\u00a0": "~", "\n": " "},
    }
)


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _latex_cells(table: Table) -> list[list[str]]:
    names = [_latex(column.name) for column in table.columns]
    return [
        names,
        *(
            [_latex_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ),
    ]


def _latex_cell(cell: Cell, column: Column) -> str:
    if cell is None:
        return "--"
    shown = _latex(_show(cell, column))
    return shown if isinstance(cell, str) else re.sub("^-", "$-$", shown)


def _groups_in_latex(table: Table) -> list[str]:
    """Return the row of group names and the rules below them; nothing without groups."""
    cells: list[str] = []
    rules = []
    at = 0
    for group, start, end in _spans(table):
        cells += [""] * (start - at) + [rf"\multicolumn{{{end - start}}}{{c}}{{{_latex(group)}}}"]
        rules.append(rf"\cmidrule(lr){{{start + 1}-{end}}}")
        at = end
    cells += [""] * (len(table.columns) - at)
    return [" & ".join(cells) + r" \\", *rules] if rules else []


def _value(cell: Cell) -> object:
    if not isinstance(cell, Estimate):
        return cell
    return {
        "mean": cell.mean,
        "sd": cell.sd,
        **({"bounds": list(cell.bounds)} if cell.bounds else {}),
    }
