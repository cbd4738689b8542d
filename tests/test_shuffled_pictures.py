"""The control that gives every sample another's picture."""

import json
import shutil
from collections import Counter

import pytest

from mue_cli import Experiment
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError
from mue_cli.evaluation.predict import predict
from mue_cli.evaluation.score import score
from mue_cli.experiment.run_folder import Run

pytestmark = pytest.mark.usefixtures("without_java")

CONTROL = ("evaluation.shuffled_pictures=true", "evaluation.timed_samples=0")


def pixels(example) -> bytes:
    return example.image.tobytes()


@pytest.mark.parametrize(("task", "per_caption"), [(CAPTION, True), (ENTAILMENT, False)])
def test_every_picture_stands_in_for_one_other(tiny_data, task, per_caption) -> None:
    examples = PreparedData.open(tiny_data).examples(task, "train", per_caption, image_size=16)
    shuffled = examples.with_shuffled_pictures(seed=3)
    assert len(shuffled) == len(examples)
    instead: dict[str, set[bytes]] = {}
    for own, other in zip(examples, shuffled, strict=True):
        assert (own.sample_id, own.source, own.references) == (
            other.sample_id,
            other.source,
            other.references,
        ), "all but the picture stays"
        assert pixels(own) != pixels(other)
        instead.setdefault(own.image_id, set()).add(pixels(other))
    assert all(len(pictures) == 1 for pictures in instead.values())
    taken = Counter(picture for pictures in instead.values() for picture in pictures)
    assert set(taken) == {pixels(each) for each in examples}, "each is taken once"
    assert max(taken.values()) == 1


def test_order_is_the_seeds(tiny_data) -> None:
    examples = PreparedData.open(tiny_data).examples(CAPTION, "train", image_size=16)

    def order(seed: int) -> list[bytes]:
        return [pixels(each) for each in examples.with_shuffled_pictures(seed)]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_slice_takes_its_pictures_from_itself(tiny_data) -> None:
    examples = PreparedData.open(tiny_data).examples(CAPTION, "train", image_size=16)[:3]
    shuffled = examples.with_shuffled_pictures(seed=0)
    assert {pixels(each) for each in shuffled} == {pixels(each) for each in examples}


def test_one_picture_cannot_be_shuffled(copied_run: Run) -> None:
    experiment = Experiment.open(
        run=copied_run.folder, device="cpu", overrides=(*CONTROL, "evaluation.samples=1")
    )
    before = copied_run.records.read_bytes()
    with pytest.raises(DataError, match="all samples show the same one"):
        experiment.evaluate("mue")
    assert copied_run.records.read_bytes() == before


def test_score_of_the_control_is_that_of_the_other_pictures(mue, copied_run: Run) -> None:
    """Its twin: the predictions of shuffled batches, scored as they come."""
    words = [word for setting in CONTROL for word in ("--set", setting)]
    answer = mue("evaluate", "--run", copied_run.folder, "--json", *words)
    assert answer.code == 0, answer.stderr
    document = json.loads(answer.stdout)
    experiment = Experiment.open(run=copied_run.folder, device="cpu")
    batches = experiment.batches("test", 4).with_shuffled_pictures(experiment.recipe.seed)
    name = "CIDEr with shuffled pictures"
    for record, method in (("record", "mue"), ("full", "full")):
        found = predict(experiment.predictor, experiment.method(method), batches)
        expected = score(experiment.task, batches.in_order(found), ("CIDEr",))
        assert document[record]["scores"][name] == pytest.approx(expected.values["CIDEr"])
        assert document[record]["confidence"][name] == pytest.approx(expected.interval)
    own = experiment.batches("test", 4)
    said = own.in_order(predict(experiment.predictor, experiment.method("mue"), own))
    kept = json.loads(copied_run.predictions.read_text())
    assert [each["caption"] for each in kept] == [each.text for each in said]


def test_the_table_shows_it_and_other_evaluations_do_not(mue, copied_run: Run) -> None:
    words = [word for setting in CONTROL for word in ("--set", setting)]
    shown = mue("evaluate", "--run", copied_run.folder, *words)
    assert "CIDEr with shuffled pictures" in shown.stdout
    assert "CIDEr with shuffled pictures" not in mue("evaluate", "--run", copied_run.folder).stdout


def test_entailment_says_what_the_text_alone_answers(mue, tiny_demo, tmp_path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(tiny_demo[1], folder)
    (run,) = (folder / "runs").iterdir()
    words = ["--run", run, *(word for each in CONTROL for word in ("--set", each))]
    words += ["--set", f"data.root={folder / 'data' / 'shapes'}"]
    known = 100 * PreparedData.open(folder / "data" / "shapes").manifest.text_only_accuracy
    shown = mue("evaluate", *words).stdout
    assert "accuracy with shuffled pictures" in shown
    sentence = f"the text alone answers {known:.1f} % of test (a linear classifier)"
    assert sentence in shown
    assert sentence not in mue("evaluate", "--split", "val", *words).stdout, "known of test"
    document = json.loads(mue("evaluate", "--json", *words).stdout)
    assert 100 * document["text_only_accuracy"] == pytest.approx(known)
