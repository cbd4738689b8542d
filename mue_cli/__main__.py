"""The console script `mue`, and `python -m mue_cli`."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from mue_cli.commands.app import app
        from mue_cli.commands.boundary import run
    except KeyboardInterrupt:
        print("stopped: nothing was kept", file=sys.stderr)
        sys.exit(130)
    sys.exit(run(app))


if __name__ == "__main__":
    main()
