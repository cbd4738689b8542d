"""What the README and docs/ tell a reader to type exists, and their Python runs."""

import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mue_cli.commands.app import app
from mue_cli.experiment.run_folder import Run
from mue_cli.recipe import recipe as recipes

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = [
    "search.beam=2",  # as the thresholds of `tiny_run` were searched
    "search.max_tokens=4",
    "calibration.max_evaluations=4",
    "evaluation.timed_samples=1",
]
"""What makes Python examples quick."""
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}


def blocks(text: str, wanted: str) -> list[str]:
    """Return the code blocks of a language, also those that are indented in a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [
        re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        for indent, language, block in found
        if language == wanted
    ]


def code_lines(text: str) -> list[str]:
    """Return the lines of all bash blocks, continued lines joined, comments removed."""
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ").split("  #")[0].strip() for line in lines]


def in_tables(text: str) -> list[str]:
    """Return the command lines in the first column of tables."""
    return re.findall(r"^\| `(mue [^`]+)`", text, flags=re.MULTILINE)


def mue_lines() -> list[str]:
    """Return every distinct command line of ours, in order."""
    lines = [line for text in TEXTS.values() for line in [*code_lines(text), *in_tables(text)]]
    parts = [part.strip().removeprefix(".venv/bin/") for line in lines for part in line.split("&&")]
    commands = [part.split(" > ")[0] for part in parts if part.startswith("mue ")]
    return list(dict.fromkeys(commands))


def named(line: str) -> str:
    """Return the command of a line: "prepare coco", "evaluate"."""
    words = shlex.split(line)[1:]
    return " ".join(words[:2] if words[0] in ("prepare", "plot") else words[:1])


@pytest.fixture
def in_folder_of_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder with the YAML files that the pages show, and with our recipes."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    for text in TEXTS.values():
        for block in blocks(text, "yaml"):
            path = tmp_path / block.split("\n")[0].removeprefix("# ")
            path.write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_every_command_is_shown() -> None:
    commands = {
        command.name or ""
        for command in (*app.registered_commands, *app.registered_groups)
        if not getattr(command, "hidden", False)
    }
    shown = {named(line).split()[0] for line in mue_lines()}
    assert commands - {""} <= shown


def test_front_page_shows_what_comes_first() -> None:
    shown = {
        named(line).split()[0]
        for line in code_lines(README) + in_tables(README)
        if "mue " in line and line.startswith("mue")
    }
    assert {"prepare", "finetune", "calibrate", "evaluate", "predict", "study", "table"} <= shown
    assert len(README.splitlines()) < 100


@pytest.mark.parametrize("line", mue_lines())
def test_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("in_folder_of_examples")
@pytest.mark.parametrize(
    "line", [line for line in mue_lines() if "--set" in line or "--recipe" in line]
)
def test_recipes_and_overrides_are_valid(line: str) -> None:
    words = shlex.split(line)
    following = list(itertools.pairwise(words))
    names = [value for option, value in following if option == "--recipe"]
    overrides = [value for option, value in following if option == "--set"]
    assert recipes.load(names[0] if names else "shapes-caption", overrides)


@pytest.mark.parametrize(
    "code", [code for text in TEXTS.values() for code in blocks(text, "python")]
)
def test_python_runs_and_prints_only_its_results(
    code: str,
    tiny_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(tiny_run.folder, tmp_path / "runs" / "shapes-caption")
    examples = tmp_path / "data" / "shapes" / "examples"
    examples.mkdir(parents=True)
    for path in (tmp_path / "photo.jpg", examples / "test-000000.png"):
        Image.new("RGB", (40, 30), (200, 60, 40)).save(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # without Java, whose start takes seconds
    small = code.replace('open("shapes-caption")', f'open("shapes-caption", overrides={SMALL})')
    exec(compile(small.replace("reduction=0.3", "reduction=0.2"), "README", "exec"), {})
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == code.count("print(") and said.err == ""


def test_unknown_option_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["evaluate", "--nope", "--help"]).exit_code == 2


def test_readme_opens_with_the_two_commands() -> None:
    first, second = [line for line in code_lines(README) if line.startswith("python3 -m venv")][:2]
    assert first.endswith(".venv/bin/mue demo")
    assert second.endswith(".venv/bin/python -m pytest -n auto --dist loadfile")
    assert README.index(second) < README.index("## ")


def test_all_checks_run_the_readmes_own_test_line() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m 1 -E '(.+)' README.md", script)
    assert pattern is not None
    matching = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert len(matching) == 1


@pytest.mark.parametrize("page", TEXTS)
def test_files_and_links_that_a_page_names_exist(page: str) -> None:
    names = set(
        re.findall(r"`((?:mue_cli|recipes|tests|\.ci|\.github)/[\w./-]+)`", TEXTS[page])
    ) - {"recipes/flowers.yaml"}
    place = next(path.parent for path in PAGES if path.name == page)
    links = set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXTS[page]))
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing + [link for link in links if not (place / link).exists()]


def test_every_page_is_in_the_sites_table_of_contents() -> None:
    site = (ROOT / ".github" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"^  - .+: ([\w-]+\.md)$", site, flags=re.MULTILINE))
    assert listed == {path.name for path in PAGES} - {"README.md"}
    for page in listed - {"index.md"}:
        assert f"](docs/{page})" in README and f"]({page})" in TEXTS["index.md"]
