"""Write an experiment's model as Hugging Face's OFA has it."""

from pathlib import Path

from mue_cli.errors import MueError
from mue_cli.experiment.experiment import Experiment
from mue_cli.model.export import WEIGHTS_FILE, Exported, export_hf
from mue_cli.model.pretrained import WEIGHTS


def export(experiment: Experiment, out: Path, force: bool = False) -> Exported:
    """Write the run's checkpoint, or the weights that `--weights` names, with their vocabulary.

    force: replace the files of an earlier export. Raises MueError for a folder that is not empty.
    """
    if out.exists() and not (out.is_dir() and (force or not any(out.iterdir()))):
        raise MueError(
            f"`{out}` exists and is not an empty folder",
            "name a new folder, or replace an earlier export with --force",
        )
    others = (out / name for name in WEIGHTS if name != WEIGHTS_FILE)
    if other := next((path for path in others if path.exists()), None):
        raise MueError(
            f"`{other}` is there, and --weights would take it for the exported model",
            "name a new folder",
        )
    return export_hf(experiment.model, experiment.tokenizer, out)
