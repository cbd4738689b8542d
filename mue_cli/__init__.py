"""Dynamic early exiting in unified vision-language models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

__version__ = "0.1.0"
__all__ = ["Experiment", "__version__"]


def __getattr__(name: str) -> Any:
    """Import Experiment when it is first used, so that `mue --help` need not."""
    if name == "Experiment":
        from mue_cli.experiment.experiment import Experiment

        return Experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
