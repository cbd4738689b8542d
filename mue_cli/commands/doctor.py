"""`mue doctor`: what this machine has, what is left out for want of it, and the fix."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mue_cli.commands import options
from mue_cli.commands.display import answer, answer_json, say

if TYPE_CHECKING:
    from mue_cli.experiment.environment import Finding

EXAMPLES = (
    "mue doctor",
    "mue doctor --json",
    "mue doctor --spice-dir downloads/corenlp",
)


def doctor(spice_dir: options.SpiceDir = None, as_json: options.Json = False) -> None:
    """Check Java, metrics, torch, processor, GPU, disk and folders, and say what to do next here.

    The exit code is 1 when something is wrong that a command needs. Reads what is installed; writes
    nothing but empty files that are gone at once, to see whether it could.
    """
    from mue_cli.experiment.environment import check_environment
    from mue_cli.experiment.next_steps import next_steps

    findings = check_environment(spice_dir)
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        steps = [asdict(step) for step in next_steps()]
        checks = [asdict(finding) for finding in findings]
        answer_json({"ok": healthy, "checks": checks, "next": steps})
    else:
        _show(findings)
        say(
            "nothing essential is missing"
            if healthy
            else "commands will fail until the problems are mended"
        )
    if not healthy:
        raise typer.Exit(1)
    if not as_json:
        show_next("")


def show_next(opening: str) -> None:
    """Print what to do next in this folder. opening: a line before."""
    from mue_cli.experiment.next_steps import next_steps

    steps = next_steps()
    width = max(len(step.line) for step in steps)
    for line in filter(None, (opening, "", "next here:")):
        answer(line)
    for step in steps:
        answer(f"  {step.line:<{width}}  {step.reason}")


def _show(findings: "list[Finding]") -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        answer(f"{finding.state:<8}  {finding.name:<{width}}  {finding.detail}")
        if finding.fix:
            answer(f"{'':<{width + 12}}fix: {finding.fix}")
