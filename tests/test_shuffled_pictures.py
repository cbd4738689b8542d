"""The control that gives every sample another's picture."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mue_cli import Experiment
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION, ENTAILMENT
from mue_cli.errors import DataError
from mue_cli.evaluation.score import score
from mue_cli.experiment import points
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


def test_one_picture_cannot_be_shuffled(copied_run: Run, monkeypatch) -> None:
    experiment = Experiment.open(
        run=copied_run.folder, device="cpu", overrides=(*CONTROL, "evaluation.samples=1")
    )
    before = copied_run.records.read_bytes()
    monkeypatch.setattr(points, "predict", lambda *_, **__: pytest.fail("it is known before"))
    with pytest.raises(DataError, match="all samples show the same one"):
        experiment.evaluate("mue")
    assert copied_run.records.read_bytes() == before


@pytest.fixture
def seen(monkeypatch) -> None:
    """Let captions say which picture was seen: the model is too small to."""

    def predict(predictor, method, batches, progress):
        found = real(predictor, method, batches, progress=progress)
        images = [image for batch in batches for image in batch.images]
        words = ("red", "green", "blue", "large", "small", "circle", "square", "the", "a", "is")
        return [
            replace(each, text=" ".join(w for n, w in enumerate(words) if bits(image) >> n & 1))
            for each, image in zip(found, images, strict=True)
        ]

    def bits(image: torch.Tensor) -> int:
        return int(1000 * image.double().abs().sum())

    real = points.predict
    monkeypatch.setattr(points, "predict", predict)


@pytest.mark.usefixtures("seen")
def test_score_of_the_control_is_that_of_the_other_pictures(copied_run: Run) -> None:
    """Its twin: the predictions of shuffled batches, scored as they come."""
    experiment = Experiment.open(run=copied_run.folder, device="cpu", overrides=CONTROL)
    evaluated = experiment.evaluate("mue")
    own = experiment.batches("test", 4)
    others = own.with_shuffled_pictures(experiment.recipe.seed)
    name = "CIDEr with shuffled pictures"
    for record in (evaluated.record, evaluated.full):
        scores = {}
        for key, batches in (("CIDEr", own), (name, others)):
            method = experiment.method(record.method)
            found = points.predict(experiment.predictor, method, batches, lambda *_: None)
            scores[key] = score(experiment.task, batches.in_order(found), ("CIDEr",))
            assert record.scores[key] == pytest.approx(scores[key].values["CIDEr"])
            assert record.confidence[key] == pytest.approx(scores[key].interval)
        assert record.scores[name] != pytest.approx(record.scores["CIDEr"]), "they were seen"
        assert record.difference[name] == pytest.approx(scores[name].difference(scores["CIDEr"]))
    assert "CIDEr" in evaluated.record.difference, "the full model's stays"
    kept = json.loads(copied_run.predictions.read_text())
    assert [each["caption"] for each in kept] == [each.text for each in evaluated.predictions]


def test_the_oracle_is_not_searched_again(copied_run: Run, monkeypatch) -> None:
    searched = []
    real = points.find_oracle

    def find_oracle(predictor, decompose, batches, progress):
        searched.append(len(batches.examples))
        return real(predictor, decompose, batches, progress)

    monkeypatch.setattr(points, "find_oracle", find_oracle)
    experiment = Experiment.open(run=copied_run.folder, device="cpu", overrides=CONTROL)
    evaluated = experiment.evaluate("oracle")
    name = "CIDEr with shuffled pictures"
    assert searched == [4]
    assert evaluated.record.scores[name] == evaluated.full.scores[name]


def test_the_table_shows_it_and_other_evaluations_do_not(mue, copied_run: Run) -> None:
    words = [word for setting in CONTROL for word in ("--set", setting)]
    shown = mue("evaluate", "--run", copied_run.folder, *words)
    assert "CIDEr with shuffled pictures" in shown.stdout
    assert re.search(r"with shuffled pictures CIDEr of mue changes by [+-]\d+\.\d \[", shown.stdout)
    assert "CIDEr with shuffled pictures" not in mue("evaluate", "--run", copied_run.folder).stdout


def test_entailment_says_what_hypotheses_alone_answer(mue, tiny_demo, tmp_path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(tiny_demo[1], folder)
    (run,) = (folder / "runs").iterdir()
    words = ["--run", run, *(word for each in CONTROL for word in ("--set", each))]
    words += ["--set", f"data.root={folder / 'data' / 'shapes'}"]
    known = 100 * PreparedData.open(folder / "data" / "shapes").manifest.text_only_accuracy
    shown = mue("evaluate", *words).stdout
    assert "accuracy with shuffled pictures" in shown
    sentence = f"a linear classifier of the hypotheses alone gets {known:.1f} % of test right"
    assert sentence in shown
    assert sentence not in mue("evaluate", "--split", "val", *words).stdout, "known of test"
    document = json.loads(mue("evaluate", "--json", *words).stdout)
    assert document["hypothesis_only"] == pytest.approx(known)
    assert {f"accuracy of {each} with shuffled pictures" for each in ("yes", "no", "maybe")} <= set(
        document["record"]["scores"]
    )


def test_another_order_is_no_other_training(copied_run: Run) -> None:
    words = (*CONTROL, "evaluation.samples=2", "seed=5")
    experiment = Experiment.open(run=copied_run.folder, device="cpu", overrides=words)
    record = experiment.evaluate("full").record
    assert (record.seed, record.settings["shuffled_seed"]) == (0, 5)


def test_seed_is_of_the_training_whose_weights_are_evaluated(
    copied_run: Run, tmp_path: Path
) -> None:
    recipe = copied_run.recipe.read_text(encoding="utf-8")
    assert "seed: 0" in recipe
    copied_run.recipe.write_text(recipe.replace("seed: 0", "seed: 3"), encoding="utf-8")
    (tmp_path / "bare").mkdir()
    for path in (copied_run.checkpoint, copied_run.tokenizer):
        shutil.copyfile(path, tmp_path / "bare" / path.name)

    def seed(run: Path, weights: Path | None) -> int:
        experiment = Experiment.open(
            recipe=copied_run.recipe,
            run=run,
            weights=None if weights is None else str(weights),
            overrides=["seed=5"],
        )
        return points.Points(experiment, "test", None, None, "0", "full", None).trained_seed

    assert seed(copied_run.folder, None) == 3
    assert seed(tmp_path / "other", copied_run.folder) == 3
    assert seed(tmp_path / "other", tmp_path / "bare") == 5, "no recipe beside it says more"
