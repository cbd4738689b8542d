"""What a drawn figure says, for tests."""

import numpy as np


def lines(axes):
    return {
        line.get_label(): np.column_stack(line.get_data()).tolist() for line in axes.get_lines()
    }


def texts(figure):
    return " ".join(
        text.get_text().replace("\n", " ")
        for text in [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
    )
