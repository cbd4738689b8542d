"""What this machine has, what is left out for want of it, and what would mend that."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mue_cli.errors import MueError

if TYPE_CHECKING:
    from mue_cli.metrics.java import UnavailableError
    from mue_cli.metrics.tokens import Tokenizer

TORCH_FIX = (
    "reinstall it: pip install --force-reinstall torch "
    "(see pytorch.org for builds with and without CUDA)"
)
GIB = 1 << 30
LEAST_FREE_GIB = 2
COCO_GIB = 22
"""Room for the archives of COCO's pictures beside the prepared data."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    state: ok; left out, when something is not computed or not used; problem, when a command will
    fail. fix: what to do about it.
    """

    name: str
    state: Literal["ok", "left out", "problem"]
    detail: str
    fix: str | None = None


def check_environment(spice_dir: Path | None = None) -> list[Finding]:
    """Look at Python, torch, processor, GPU, metrics, disk and folders. spice_dir: with CoreNLP."""
    return [_python(), *_torch(), *_metrics(spice_dir), _disk(), *_folders()]


def _python() -> Finding:
    return Finding(
        "Python", "ok", f"{platform.python_version()}, mue {importlib.metadata.version('mue-cli')}"
    )


def _torch() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [
            Finding(
                "torch", "problem", f"cannot be imported: {str(error).splitlines()[0]}", TORCH_FIX
            )
        ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = Finding(
        "processor", "ok", f"cores: {cores}, threads of torch: {torch.get_num_threads()}"
    )
    return [Finding("torch", "ok", str(torch.__version__)), processor, _gpu()]


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        try:
            torch.ones(1, device="cuda").sum().item()
        except RuntimeError as error:
            return Finding(
                "GPU",
                "problem",
                f"torch cannot compute on {card.name}: {str(error).splitlines()[0]}",
                TORCH_FIX,
            )
        return Finding("GPU", "ok", f"{card.name}, {card.total_memory / GIB:.0f} GiB")
    if shutil.which("nvidia-smi"):
        return Finding(
            "GPU", "left out", "there is an NVIDIA driver, and torch cannot use it", TORCH_FIX
        )
    return Finding("GPU", "left out", "there is none; all runs on the processor")


def _metrics(spice_dir: Path | None) -> list[Finding]:
    from mue_cli.metrics.java import java_version, need_java
    from mue_cli.metrics.programs import caption_tokenizer, find_meteor

    java = _found("Java", lambda: f"{java_version(need_java())[1]} ({need_java()})")
    if java.state == "problem":
        return [java]
    tokenizer = caption_tokenizer()
    return [
        java,
        _found("PTB tokeniser", lambda: "works")
        if tokenizer.lack is None
        else _left_out("PTB tokeniser", tokenizer.lack),
        _found("METEOR", lambda: find_meteor(tokenizer) and "its jar and paraphrases are there"),
        _found(
            "SPICE",
            lambda: f"CoreNLP 3.6.0, verified, in {_corenlp(tokenizer, spice_dir)}",
        ),
    ]


def _corenlp(tokenizer: "Tokenizer", spice_dir: Path | None) -> Path:
    from mue_cli.metrics.programs import find_spice_jars

    return find_spice_jars(tokenizer, spice_dir)[1].corenlp.parent


def _found(name: str, look: Callable[[], str]) -> Finding:
    """Return what `look` finds."""
    from mue_cli.metrics.java import UnavailableError

    try:
        return Finding(name, "ok", look())
    except UnavailableError as error:
        return _left_out(name, error)
    except MueError as error:
        return Finding(name, "problem", error.message, error.hint)


def _left_out(name: str, error: "UnavailableError") -> Finding:
    return Finding(name, "left out", error.reason, error.fix)


def _disk() -> Finding:
    free = shutil.disk_usage(Path()).free / GIB
    if free < LEAST_FREE_GIB:
        return Finding(
            "disk",
            "problem",
            f"{free:.1f} GiB free here",
            f"make room: a run needs about {LEAST_FREE_GIB} GiB",
        )
    if free < COCO_GIB:
        return Finding(
            "disk",
            "left out",
            f"{free:.1f} GiB free here, too little for COCO's pictures ({COCO_GIB} GiB)",
            "make room for them",
        )
    return Finding("disk", "ok", f"{free:.0f} GiB free here")


def _folders() -> list[Finding]:
    own = "run mue in a folder that can be written"
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    return [
        _folder("this folder", Path(), "problem", own),
        *(_folder(name, Path(name), "problem", own) for name in ("data", "runs", "downloads")),
        _folder(
            "hub cache", _hub_cache(), "left out", "set HF_HOME to a folder that can be written"
        ),
        _folder("temporary", temporary, "problem", "set TMPDIR to a folder that can be written"),
    ]


def _hub_cache() -> Path:
    """Return where huggingface_hub keeps weights."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or home) / "hub")


def _folder(name: str, path: Path, otherwise: Literal["left out", "problem"], fix: str) -> Finding:
    """Return whether files can be written to a folder, or to the nearest one above that exists."""
    path = path.absolute()
    exists = next(place for place in (path, *path.parents) if place.exists())
    if not exists.is_dir():
        return Finding(
            name, otherwise, f"{exists} is a file, not a folder", f"move it away, or {fix}"
        )
    try:
        with tempfile.TemporaryFile(dir=exists):
            return Finding(
                name, "ok", f"{path} can be written" if exists == path else f"{path} can be made"
            )
    except OSError as error:
        return Finding(name, otherwise, f"{exists} cannot be written: {error.strerror}", fix)
