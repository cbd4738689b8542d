"""The paper's points in a panel of their own: other data and another model than ours."""

from matplotlib.axes import Axes

from mue_cli.reports.figures.canvas import EXPECTED, GREY, Label, label_points
from mue_cli.reports.figures.rows import look_of, mark
from mue_cli.reports.published import FULL_MODEL, PublishedTask, source


def draw_paper_points(axes: Axes, task: PublishedTask, absolute: bool) -> None:
    """Draw the models of Table 1. absolute: scores as printed; else in per cent of the paper's own
    full model.
    """
    scale = 1.0 if absolute else 100.0 / task.full_score
    labels = []
    for row in task.table_1:
        look, x, y = look_of(row.row), 100.0 * row.reduction, scale * row.scores[task.judged_by]
        mark(axes, [x], [y], look, hollow=True, label=f"{row.model} (paper)")
        labels.append(Label(x, y, row.model, look.colour))
    if not absolute:
        axes.axhline(100.0, color=GREY, linewidth=0.8, linestyle=":")
    axes.margins(x=0.14, y=0.12)
    hundred = "" if absolute else f"\n{FULL_MODEL}, {task.full_score:g}\u00a0=\u00a0100\u00a0%"
    axes.set(xlabel=EXPECTED)
    axes.set_title(f"{source(1)}: {task.data_name}{hundred}", fontsize=8, color="#404040")
    label_points(axes, labels)
