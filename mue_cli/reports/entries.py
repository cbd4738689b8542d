"""An entry: one evaluated point as a row of the paper's tables, with the seed of the training behind it."""

from dataclasses import dataclass

from mue_cli.reports.record import Record

METHOD_NAMES = {"mue": "MuE", "deebert": "DeeBERT", "pabee": "PABEE", "calm": "CALM", "deecap": "DeeCap"}
"""Names that are not written as methods are typed."""


@dataclass(frozen=True)
class Entry:
    """row: what the tables call it, such as "full", "small", "deebert" or "mue-joint". swept: a point of the method's trade-off curve;
    otherwise the setting that was calibrated, which tables show. full_score: of the full model of the same seed, which scores are relative
    to (the study's row `full`)."""

    row: str
    seed: int
    swept: bool
    record: Record
    full_score: float
