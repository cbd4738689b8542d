"""What each caption of a batch did, for the cost of what was timed."""

from collections.abc import Sequence

from mue_cli.exits.trace import Trace
from mue_cli.inference.encode import Encoded
from mue_cli.inference.search import Generated


def traces_of(encoded: Encoded, results: Sequence[Generated]) -> list[Trace]:
    """Return a trace per row, named by its number."""
    return [
        Trace(
            str(row),
            {stream: layers[row] for stream, layers in encoded.exit_layers.items()},
            {stream: counts[row] for stream, counts in encoded.num_tokens.items()},
            tuple(result.exit_layers),
            len(result.best.tokens),
            tuple(result.num_hypotheses),
        )
        for row, result in enumerate(results)
    ]
