"""The prepared data of a recipe, opened, with a word where it is another data set's."""

from mue_cli.data.store.manifest import DATASETS
from mue_cli.data.store.prepared import PreparedData
from mue_cli.experiment.progress import Progress
from mue_cli.recipe.sections import DataSection


def open_data(section: DataSection, progress: Progress) -> PreparedData:
    """Return the data that a recipe names; say so where another data set lies there than it says.

    Not an error: the folder counts, and records name what it holds. Raises MissingStepError,
    DataError.
    """
    data = PreparedData.open(section.folder)
    name = data.manifest.name
    if name != section.dataset and name in DATASETS:
        said = f"data.dataset is {section.dataset}, and {section.folder} holds {name}"
        progress("data", 0, 0, f"note: {said}: that is used")
    return data
