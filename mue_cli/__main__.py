"""The console script `mue`, and `python -m mue_cli`."""


def main() -> None:
    """Run the command line."""
    from mue_cli.commands.app import app

    app(prog_name="mue")


if __name__ == "__main__":
    main()
