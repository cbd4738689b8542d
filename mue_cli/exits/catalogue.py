"""The methods by name, and what commands have to know of each before anything heavy is imported.
What they do: mue_cli/exits/methods.py.
"""

from typing import Literal, get_args

MethodName = Literal["full", "static", "mue", "deebert", "pabee", "deecap", "calm", "oracle"]
CalibratedName = Literal["mue", "deebert", "pabee", "deecap", "calm"]
"""Methods with thresholds to be found."""
ExitingName = Literal["static", "mue", "deebert", "pabee", "deecap", "calm"]
"""Methods that really leave early."""
RunnableName = Literal["full", "static", "mue", "deebert", "pabee", "deecap", "calm"]
"""Methods that can be run on pictures whose answers nobody knows."""

CALIBRATED: tuple[str, ...] = get_args(CalibratedName)
WITHOUT_CURVE = ("full", "oracle")
"""Methods that have nothing to sweep."""
DECODER_ONLY = ("deebert", "pabee", "deecap", "calm")
"""Methods that know nothing of the encoder."""
TRAINED_WITH_MODEL = ("pabee", "deecap")
"""Methods whose readout is trained together with the model."""
TRAINED_ON_MODEL = ("deebert",)
"""Methods whose readout is trained afterwards, on a model that stays as it is."""
