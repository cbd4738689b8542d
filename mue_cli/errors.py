"""Errors a user can act on: one line that says what is wrong, one hint that says what to do."""


class MueError(Exception):
    """A mistake or a missing thing outside the program; shown as one line and a hint, exit code 2,
    no traceback.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RecipeError(MueError):
    """A recipe that cannot be read, or a value in it that makes no sense."""


class MissingStepError(MueError):
    """A command was run before the one that writes what it reads."""


class DataError(MueError):
    """Source files or prepared data that are absent, malformed or empty."""


class CheckpointError(MueError):
    """Weights that are absent, damaged or do not fit the model."""
