"""The console script `mue`, and `python -m mue_cli`."""

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code. Of the processes of `torchrun` the first
    speaks for all.
    """
    try:
        from mue_cli.commands.app import app
        from mue_cli.commands.boundary import run
        from mue_cli.files import is_first_process
    except KeyboardInterrupt:
        print("stopped: nothing was kept", file=sys.stderr)
        sys.exit(130)
    if not is_first_process():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (for good)
    sys.exit(run(app))


if __name__ == "__main__":
    main()
