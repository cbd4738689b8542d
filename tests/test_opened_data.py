"""Prepared data of another data set than the recipe says is used, and said."""

import pytest
from prepared_data import Given, picture, write_texts

from mue_cli.data.rows import CaptionRow
from mue_cli.data.store.storage import write_prepared
from mue_cli.errors import MissingStepError
from mue_cli.experiment.opened_data import open_data
from mue_cli.recipe.sections import DataSection


@pytest.fixture
def notes():
    return []


@pytest.fixture
def tell(notes):
    return lambda label, done, total, note="": notes.append(note)


@pytest.mark.parametrize(
    ("holds", "says", "noted"),
    [
        ("shapes", "flickr8k", True),
        ("flickr8k", "shapes", True),
        ("flickr8k", "flickr8k", False),
        ("flowers", "flickr8k", False),
    ],
)
def test_another_data_set_is_noted_and_a_name_of_ones_own_is_not(
    tmp_path, tell, notes, holds, says, noted
):
    rows = {"train": [CaptionRow("r", ("Red.",))]}
    write_prepared(tmp_path / "data", holds, Given({"r": picture()}), write_texts, rows)
    section = DataSection(dataset=says, root=str(tmp_path / "data"))
    assert open_data(section, tell).manifest.name == holds
    said = f"note: data.dataset is {says}, and {tmp_path / 'data'} holds {holds}: that is used"
    assert notes == ([said] if noted else [])


def test_data_that_is_not_there_is_no_other_data(tmp_path, tell, notes):
    with pytest.raises(MissingStepError):
        open_data(DataSection(root=str(tmp_path / "nowhere")), tell)
    assert notes == []
