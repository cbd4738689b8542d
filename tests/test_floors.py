"""Imports go strictly downward, and each dependency has one door."""

import ast
import functools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mue_cli"

FLOORS = [
    {"__init__", "errors"},
    {"files"},
    {"schema", "exits"},
    {"recipe", "calibration", "data", "metrics", "reports", "model"},
    {"inference", "cost", "training"},
    {"evaluation", "profiling"},
    {"experiment"},
    {"study"},
    {"commands"},
    {"__main__"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

DOORS = {
    "typer": ("commands/",),
    "rich": ("commands/",),
    "yaml": ("recipe/",),
    "pydantic": ("schema/", "recipe/"),
    "pydantic_core": ("schema/",),
    "annotated_types": ("schema/",),
    "filelock": ("experiment/",),
    "matplotlib": ("reports/figures/",),
    "jinja2": ("reports/",),
    "pycocoevalcap": ("metrics/",),
    "datasets": ("data/",),
    "pyarrow": ("data/",),
    "tokenizers": ("model/tokenizer.py",),
    "safetensors": ("model/tensor_file.py",),
    "huggingface_hub": ("model/pretrained.py",),
}
BANNED = ("click", "typer.core", "typer.main", "typer.models")
HEAVY = (
    "torch",
    "numpy",
    "datasets",
    "matplotlib",
    "pycocoevalcap",
    "tokenizers",
    "safetensors",
    "PIL",
    "huggingface_hub",
    "yaml",
)

LIGHT = ("choices", "pictures")
"""Files of experiment/ that commands import at once; the others bring torch along."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the room of a dotted module name inside the package: mue_cli.exits.trace -> exits."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules_of(node: ast.AST) -> list[str]:
    """Return the dotted modules that one import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return (
            [f"mue_cli.{alias.name}" for alias in node.names]
            if node.module == "mue_cli"
            else [node.module]
        )
    return []


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path, top_only: bool = False) -> list[str]:
    """Return every module that a file imports; `top_only` leaves out what functions import."""
    tree = parsed(path)
    nodes = tree.body if top_only else list(ast.walk(tree))
    return [module for node in nodes for module in modules_of(node)]


def only_for_types(path: Path) -> set[str]:
    """Return the modules that a file imports under TYPE_CHECKING alone."""
    tree = parsed(path)
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    typed = [block for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING"]
    return {module for block in typed for node in block.body for module in modules_of(node)}


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_strictly_downward(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # it names Experiment, and imports it when it is first used
    room = room_of("mue_cli." + short(path).removesuffix(".py").replace("/", "."))
    assert room in FLOOR_OF, f"{room} has no floor yet: add it to FLOORS"
    for module in imports(path):
        if is_inside(module, "mue_cli") and room_of(module) != room:
            below = room_of(module)
            below = below if below in FLOOR_OF else "__init__"
            assert FLOOR_OF[below] < FLOOR_OF[room], (
                f"{short(path)} (floor {FLOOR_OF[room]}) imports {module} (floor {FLOOR_OF[below]})"
            )


@pytest.mark.parametrize("path", FILES, ids=short)
def test_each_dependency_comes_in_by_its_door(path: Path) -> None:
    for module in imports(path):
        for package, doors in DOORS.items():
            if is_inside(module, package):
                assert short(path).startswith(doors), (
                    f"{short(path)} imports {module}, which only {', '.join(doors)} may"
                )


@pytest.mark.parametrize("path", FILES, ids=short)
def test_only_public_typer_names_are_used(path: Path) -> None:
    for module in imports(path):
        assert not any(is_inside(module, banned) for banned in BANNED), (
            f"{short(path)} imports {module}"
        )


COMMANDS = [path for path in FILES if path.parent.name == "commands"]


@pytest.mark.parametrize("path", COMMANDS, ids=short)
def test_commands_import_heavy_packages_inside_functions(path: Path) -> None:
    modules = imports(path, top_only=True)
    assert not [module for module in modules for heavy in HEAVY if is_inside(module, heavy)]
    own = [module for module in modules if is_inside(module, "mue_cli")]
    assert {room_of(module) for module in own} <= {
        "commands",
        "errors",
        "experiment",
        "__version__",
    }
    light = tuple(f"mue_cli.experiment.{name}" for name in LIGHT)
    assert [module for module in own if room_of(module) == "experiment"] == [
        module for module in own if module in light
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=short)
def test_commands_know_experiments_studies_and_reports_alone(path: Path) -> None:
    allowed = {"commands", "errors", "experiment", "study", "reports", "__version__"}
    modules = set(imports(path)) - only_for_types(path)
    assert {room_of(module) for module in modules if is_inside(module, "mue_cli")} <= allowed


def test_no_command_imports_another() -> None:
    helpers = {"display", "options", "bars", "lines", "strip", "app", "boundary"}
    for path in COMMANDS:
        others = {
            module.split(".")[2]
            for module in imports(path)
            if module.startswith("mue_cli.commands.")
        }
        assert path.stem == "app" or others <= helpers, short(path)


def test_exits_know_no_model() -> None:
    rooms = {
        room_of(module)
        for path in (PACKAGE / "exits").glob("*.py")
        for module in imports(path)
        if is_inside(module, "mue_cli")
    }
    assert rooms == {"exits"}


def test_relative_imports_are_not_used() -> None:
    for path in FILES:
        nodes = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom)]
        assert not [node for node in nodes if node.level], short(path)


RETIRED = {
    *("found", "asked", "told", "seen", "workbench", "specimen", "contest", "ladder", "roster"),
    *("readout", "read_out", "passage", "walked"),
}
"""Names that say nothing, or that the field has another word for."""


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_variable_has_a_retired_name(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stored = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    named = {node.id for node in stored}
    named |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not {name.strip("_").lower() for name in named} & RETIRED
