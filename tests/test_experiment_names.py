"""What experiments are named by and made from, without the command runner: recipes, settings,
methods, devices, sizes, pictures, prepared files.
"""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from mue_cli import Experiment
from mue_cli.data.tasks import TASKS
from mue_cli.errors import CheckpointError, DataError, MueError, RecipeError
from mue_cli.exits.catalogue import CATALOGUE
from mue_cli.exits.decay import Decay
from mue_cli.experiment import environment, methods, models, pictures, prepare, recipes
from mue_cli.experiment.batches import Batches, tell_cut
from mue_cli.experiment.differences import unused_note
from mue_cli.experiment.progress import counting
from mue_cli.experiment.resolve import check_weights, resolve, starting_from
from mue_cli.experiment.stated import thresholds_of
from mue_cli.experiment.thresholds import check_scores
from mue_cli.recipe.recipe import Recipe, dump, load

CAPTION, ENTAILMENT = TASKS["caption"], TASKS["entailment"]


def recipe(*settings: str) -> Recipe:
    return load("shapes-caption", list(settings))


def test_named_recipes_say_what_they_are_and_read_back(tmp_path: Path) -> None:
    named = recipes.named_recipes()
    assert named["shapes-caption"] == "Captions of drawn scenes"
    path = tmp_path / "shown.yaml"
    path.write_text(recipes.recipe_text(load("coco-base"), explained=True), encoding="utf-8")
    assert load(path) == load("coco-base")
    assert "properties" in recipes.recipe_schema()


def test_a_training_that_starts_from_weights_takes_their_size() -> None:
    assert starting_from(None) == []
    quoted, size = starting_from('odd "name".pt')
    assert (quoted, size) == ('model.weights="odd \\"name\\".pt"', "model.preset=null")
    for check in (check_weights, starting_from):
        with pytest.raises(MueError, match="--weights is empty"):
            check("")


def test_a_seed_and_settings_reach_the_recipe_and_the_next_commands(tmp_path: Path) -> None:
    wanted, run = resolve(None, ["training.steps=7"], tmp_path, 5, trained=False, weights=None)
    assert (wanted.seed, wanted.training.steps) == (5, 7)
    assert "--set training.steps=7 --set seed=5" in run.command("evaluate")


def test_methods_are_rows_of_the_catalogue() -> None:
    assert methods.spec_of("mue") is CATALOGUE["mue"]
    with pytest.raises(RecipeError, match="unknown method `muee`"):
        methods.spec_of("muee")
    with pytest.raises(RecipeError, match="exits are found afterwards"):
        methods.spec_of("oracle")


def test_thresholds_decay_where_text_is_generated_alone() -> None:
    stated = recipe("exits.beta=0.8", "exits.tau=2.0", "exits.full_depth_steps=3")
    spec = CATALOGUE["mue"]
    assert methods.decay(stated, CAPTION, spec) == Decay(0.8, 2.0, 3)
    assert methods.decay(stated, ENTAILMENT, spec) is None
    assert methods.decay(stated, CAPTION, CATALOGUE["pabee"]) is None
    settings = methods.decay_settings(stated, CAPTION, spec)
    assert set(settings.values()) == {0.8, 2.0, 3}
    assert methods.decay_settings(stated, ENTAILMENT, spec) == {}


def test_the_policy_for_skipped_layers_is_the_recipes_where_there_are_steps() -> None:
    stated = recipe("exits.skipped_layers=copy")
    assert methods.skipped_layers(stated, CAPTION) == "copy"
    assert methods.skipped_layers(stated, ENTAILMENT) == "project"


def test_thresholds_that_a_recipe_fixes_leave_nothing_to_search() -> None:
    stated = recipe("exits.image=0.9")
    assert methods.fixed_thresholds(stated.exits) == {"image": 0.9}
    with pytest.raises(RecipeError, match=r"fixes `exits\.image` itself"):
        methods.refuse_fixed_thresholds(stated, CATALOGUE["mue"])
    methods.refuse_fixed_thresholds(stated, CATALOGUE["deebert"])  # has no image rule


def test_a_method_with_a_head_of_its_own_needs_one() -> None:
    with pytest.raises(RecipeError, match="needs its exit head"):
        methods.make_method(recipe(), CAPTION, CATALOGUE["deecap"], {"decoder": 0.5})


def test_thresholds_without_effect_are_said(tmp_path: Path) -> None:
    notes: list[str] = []

    def tell(label: str, done: int, total: int, note: str = "") -> None:
        notes.append(note)

    settings = ("exits.image=0.9",)
    here = Experiment.open(None, tmp_path / "none", overrides=settings, progress=tell)
    assert thresholds_of(here, "full") == {}
    assert notes == ["note: exits.image has no effect on the method full"]


@pytest.mark.parametrize(("method", "value"), [("mue", 95.0), ("pabee", 1.5), ("pabee", 0.0)])
def test_thresholds_that_no_score_comes_near_are_refused(method: str, value: float) -> None:
    spec = CATALOGUE[method]
    with pytest.raises(RecipeError, match=rf"`exits\.decoder` is {value:g}"):
        check_scores(spec, {"decoder": value}, "`exits.{stream}`", "a hint")
    check_scores(spec, {"decoder": 1.0}, "`exits.{stream}`", "a hint")


def test_devices_are_found_by_name() -> None:
    assert models.find_device("cpu") == torch.device("cpu")
    assert models.find_device("auto").type in ("cpu", "cuda")
    with pytest.raises(MueError, match="unknown device `tpu`"):
        models.find_device("tpu")


def test_a_narrow_model_settles_for_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    model = models.new_model(recipe(*SMALL), vocab_size=320)
    models.settle_threads(model)  # OMP_NUM_THREADS says otherwise
    monkeypatch.delenv("OMP_NUM_THREADS")
    models.settle_threads(model)
    assert chosen == [1]


SMALL = ("model.config.embed_dim=24", "model.config.ffn_dim=24", "model.config.resnet_width=4")


def test_a_new_model_is_drawn_from_the_seed() -> None:
    first, same, other = (
        models.new_model(recipe(*SMALL, f"seed={seed}"), vocab_size=320) for seed in (3, 3, 4)
    )
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
    assert not torch.equal(first.encoder.embed_tokens.weight, other.encoder.embed_tokens.weight)
    with pytest.raises(CheckpointError, match=r"knows 320 tokens, .* has 321"):
        models.check_vocabulary(first, 321, "it")
    long = recipe("data.max_target_tokens=5000")
    with pytest.raises(RecipeError, match=r"data\.max_target_tokens is 5000"):
        models.check_fits(long, first.config)


def test_pictures_are_named_or_the_first_trouble_is(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    named = pictures.named_pictures([str(tmp_path / "a.png")])
    assert (named.paths, named.remark()) == ([str(tmp_path / "a.png")], None)
    with pytest.raises(MueError, match=r"no pictures: `.*b\.png`"):
        pictures.named_pictures([str(tmp_path / "b.png")])


def test_files_of_a_folder_that_are_not_named_like_pictures_are_said(tmp_path: Path) -> None:
    for name in ("a.png", "IMG_1.HEIC", "noext", "scan.pdf", "z.txt", ".hidden.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    said = "4 files passed over, not named like pictures (IMG_1.HEIC, noext, scan.pdf, ...)"
    named = pictures.named_pictures([str(tmp_path)] * 2)
    assert (named.paths, named.remark()) == ([str(tmp_path / "a.png")] * 2, said)
    (tmp_path / "a.png").unlink()
    with pytest.raises(MueError, match="no pictures in this folder") as caught:
        pictures.named_pictures([str(tmp_path)])
    assert said in (caught.value.hint or "")


def trained_with(folder: Path, *settings: str) -> Path:
    """Return a run folder with the recipe that it was trained with."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(dump(recipe(*settings)), encoding="utf-8")
    return folder


MINE = "name: mine\ntask: caption\n"


def test_values_of_an_edited_recipe_that_are_not_used_are_said(tmp_path: Path) -> None:
    run = trained_with(tmp_path / "run", "data.root=d0", "data.image_size=64", "training.steps=9")
    path = tmp_path / "mine.yaml"
    path.write_text(MINE + "data: {root: d1, image_size: 64}\nsearch: {beam: 2}\n")
    used = Experiment.open(path, run).recipe
    assert (used.data.root, used.search.beam) == ("d0", 2)
    assert unused_note(str(path), used) == (
        f"note: data.root d1 of {path} is not used; the run was trained with d0 "
        "(--set data.root=d1 uses it)"
    )
    assert Experiment.open(path, run, overrides=["data.root=d1"]).recipe.data.root == "d1"


def test_unused_values_of_all_trained_sections_stand_in_one_line(tmp_path: Path) -> None:
    run = trained_with(tmp_path / "run", "training.steps=9", "seed=1")
    path = tmp_path / "mine.yaml"
    path.write_text(MINE + "seed: 2\ntraining: {steps: 8}\nmodel: {decompose: false, ema: true}\n")
    note = unused_note(str(path), Experiment.open(path, run).recipe) or ""
    assert "seed 2, model.decompose false, model.ema true, training.steps 8 of" in note
    assert "trained with seed 1, model.decompose true, model.ema false, training.steps 9" in note
    changes = ["seed=5", "training.steps=9"]
    changed = Experiment.open(path, run, overrides=changes).recipe
    assert "seed" not in (note := unused_note(str(path), changed, changes) or "")
    assert "steps" not in note


def test_what_is_the_same_is_not_said(tmp_path: Path) -> None:
    run = trained_with(tmp_path / "run", "data.root=null", "model.preset=null", "model.weights=w")
    path = tmp_path / "mine.yaml"
    path.write_text(MINE + "data: {root: data/shapes}\nmodel: {preset: base}\ntraining:\n")
    used = Experiment.open(path, run).recipe
    assert unused_note(str(path), used) is None
    assert unused_note("shapes-caption", recipe()) is None


def test_command_says_what_it_does_not_use_of_a_recipe(mue, tmp_path: Path, monkeypatch) -> None:
    run = trained_with(tmp_path / "run", "data.root=d0")
    (tmp_path / "mine.yaml").write_text(MINE + "data: {root: d1}\n")
    monkeypatch.chdir(tmp_path)
    answer = mue("predict", "no.png", "--recipe", "mine.yaml", "--run", run)
    assert "note: data.root d1 of mine.yaml is not used" in answer.stderr
    own = mue("predict", "no.png", "--run", run)
    assert "note:" not in own.stderr


def test_questions_that_lose_their_end_are_counted_once() -> None:
    notes: list[str] = []
    here = SimpleNamespace(
        recipe=recipe("data.max_source_tokens=3"),
        processes=SimpleNamespace(writes=True),
        progress=lambda label, done, total, note: notes.append(note),
    )
    words = SimpleNamespace(encode=str.split)

    class Sources(list[str]):
        def source(self, row: int) -> str:
            return self[row]

    batches = Batches(Sources(["a b c", "a b c d", "a"]), words, list, 2)  # type: ignore[arg-type]
    tell_cut(here, batches)  # type: ignore[arg-type]
    assert notes == [
        "note: 1 of 3 questions are longer than 3 tokens and lose their end: "
        "raise data.max_source_tokens"
    ]
    tell_cut(here, Batches(Sources(["a"]), words, list, 2))  # type: ignore[arg-type]
    assert len(notes) == 1


def test_a_page_goes_where_it_can_be_written(tmp_path: Path) -> None:
    assert pictures.page_path(tmp_path / "new" / "page.html").parent.is_dir()
    with pytest.raises(MueError, match=r"does not end in \.html"):
        pictures.page_path(tmp_path / "photo.jpg")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(MueError, match="cannot write"):
        pictures.page_path(tmp_path / "folder.html")


def test_progress_counts_with_the_total_that_is_known() -> None:
    calls: list[tuple[str, int, int]] = []
    count = counting(lambda label, done, total, note="": calls.append((label, done, total)), "x", 9)
    count(1)
    count(2, 20)
    assert calls == [("x", 1, 9), ("x", 2, 20)]


def test_the_environment_is_looked_at_part_by_part() -> None:
    names = [finding.name for finding in environment.check_environment()]
    assert {"Python", "torch", "processor"} <= set(names)
    assert len(names) == len(set(names))


def test_files_are_prepared_by_the_name_of_their_data_set(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "Images").mkdir(parents=True)
    rows = []
    for number, split in enumerate(("train", "val", "test")):
        Image.effect_noise((24, 24), 60).save(source / "Images" / f"{number}.jpg")
        sentences = [{"raw": f"a grey picture {number}"}]
        rows.append({"filename": f"{number}.jpg", "split": split, "sentences": sentences})
    document = {"images": rows, "dataset": "flickr8k"}
    (source / "dataset_flickr8k.json").write_text(json.dumps(document), encoding="utf-8")
    prepare.require_folders(source, out, download=False)
    before = prepare.inode_of(out)
    assert prepare.kept_so_far(out, before) == f"`{out}` is as it was before"
    manifest = prepare.prepare_files("flickr8k", source, out, 300, num_workers=0)
    assert manifest.num_images == 3
    assert prepare.kept_so_far(out, before) == f"`{out}` is done: the new data is in its place"
    table = prepare.contents(manifest)
    assert [row[2:] for row in table.rows] == [(1, 1)] * 3
    assert list(prepare.warnings(manifest)) == []
    lost = replace(manifest, losses={"train": {"lost": 9, "kept": 1}}, problems={"broken": 9})
    assert "WARNING" in next(prepare.warnings(lost))


def test_a_folder_that_is_no_data_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError):
        prepare.require_folders(tmp_path, tmp_path / "out", download=False)


def test_photographs_that_nobody_can_download_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded without you") as caught:
        prepare.require_photographs("snli-ve", tmp_path, None)
    assert "--images FOLDER|ARCHIVE" in str(caught.value.hint)
    prepare.require_photographs("snli-ve", tmp_path, tmp_path / "images.tar")
    prepare.require_photographs("coco", tmp_path, None)


def test_a_learned_vocabulary_counts_tokens(tmp_path: Path) -> None:
    count = prepare.learn_vocabulary(300)(["a red circle"] * 3, tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").exists()
    assert count("a red circle") >= 3 and count("") == 0
