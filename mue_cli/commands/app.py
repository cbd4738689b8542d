"""The command line's table of contents."""

from typing import Annotated

import typer

from mue_cli import __version__
from mue_cli.commands import (
    bench,
    calibrate,
    demo,
    doctor,
    evaluate,
    export,
    finetune,
    modality,
    plot,
    predict,
    prepare,
    recipes,
    report,
    study,
    table,
)
from mue_cli.commands.boundary import friendly
from mue_cli.commands.display import answer

SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Dynamic early exiting in unified vision-language models: MuE on OFA.",
    epilog="Start with: mue demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings=SETTINGS,
)
prepare_app = typer.Typer(
    help="Make a data set that the other commands read.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
plot_app = typer.Typer(
    help="Draw the paper's figures from your own runs.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
recipes_app = typer.Typer(
    help="List, show and check recipes: experiments as data.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)

prepare_app.command("shapes", epilog=prepare.SHAPES_EXAMPLES)(friendly(prepare.shapes))
prepare_app.command("coco", epilog=prepare.COCO_EXAMPLES)(friendly(prepare.coco))
prepare_app.command("flickr8k", epilog=prepare.FLICKR8K_EXAMPLES)(friendly(prepare.flickr8k))
prepare_app.command("snli-ve", epilog=prepare.SNLI_VE_EXAMPLES)(friendly(prepare.snli_ve))
app.add_typer(prepare_app, name="prepare")
app.command("finetune", epilog=finetune.EXAMPLES)(friendly(finetune.finetune))
app.command("calibrate", epilog=calibrate.EXAMPLES)(friendly(calibrate.calibrate))
app.command("evaluate", epilog=evaluate.EXAMPLES)(friendly(evaluate.evaluate))
app.command("bench", epilog=bench.EXAMPLES)(friendly(bench.bench))
app.command("predict", epilog=predict.EXAMPLES)(friendly(predict.predict))
plot_app.command("saturation", epilog=plot.SATURATION_EXAMPLES)(friendly(plot.saturation))
plot_app.command("tradeoff", epilog=plot.TRADEOFF_EXAMPLES)(friendly(plot.tradeoff))
plot_app.command("reductions", epilog=plot.REDUCTIONS_EXAMPLES)(friendly(plot.reductions))
plot_app.command("calibration", epilog=plot.CALIBRATION_EXAMPLES)(friendly(plot.calibration))
plot_app.command("training", epilog=plot.TRAINING_EXAMPLES)(friendly(plot.training))
plot_app.command("exits", epilog=plot.EXITS_EXAMPLES)(friendly(plot.exits))
plot_app.command("modality", epilog=modality.EXAMPLES)(friendly(modality.modality, "plot modality"))
app.add_typer(plot_app, name="plot")
app.command("table", epilog=table.EXAMPLES)(friendly(table.table))
app.command("report", epilog=report.EXAMPLES)(friendly(report.report))
app.command("export", epilog=export.EXAMPLES)(friendly(export.export))
recipes_app.command("list", epilog=recipes.LIST_EXAMPLES)(
    friendly(recipes.list_recipes, "recipes list")
)
recipes_app.command("show", epilog=recipes.SHOW_EXAMPLES)(friendly(recipes.show))
recipes_app.command("schema", epilog=recipes.SCHEMA_EXAMPLES)(friendly(recipes.schema))
recipes_app.command("check", epilog=recipes.CHECK_EXAMPLES)(friendly(recipes.check))
app.add_typer(recipes_app, name="recipes")
app.command("doctor", epilog=doctor.EXAMPLES)(friendly(doctor.doctor))
app.command("study", epilog=study.EXAMPLES)(friendly(study.study))
app.command("demo", epilog=demo.EXAMPLES)(friendly(demo.demo))


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        answer(f"mue {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options before the command."""
