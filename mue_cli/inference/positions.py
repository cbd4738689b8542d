"""Position biases, built once per patch grid and text length and kept: they depend on positions
alone, not on the input.

Shape letters: S stream tokens, T decoder positions, H heads.
"""

from torch import Tensor

from mue_cli.inference.cuda.recorder import Recorder
from mue_cli.model.backbone import Backbone
from mue_cli.model.positions import Layout

LENGTH_STEP = 16


class PositionTables:
    """The memory of one model's biases. Make one per model and pass it along; it is stale once the
    weights change.
    """

    def __init__(self, model: Backbone, recorder: Recorder | None = None) -> None:
        """recorder: of this model's programs on a GPU; None runs every kernel from the host."""
        self._model = model
        self.recorder = recorder
        self._encoder: dict[Layout, list[Tensor]] = {}
        self._decoder_self: list[Tensor] = []
        self._cross: dict[Layout, Tensor] = {}

    def encoder_bias(self, layer: int, layout: Layout) -> Tensor:
        """Return (H, S, S), absolute plus relative, of one encoder layer (0-based)."""
        padded = Layout(layout.grid, _round_up(layout.num_text))
        if padded not in self._encoder:
            encoder = self._model.encoder
            absolute = encoder.absolute_bias(padded)
            self._encoder[padded] = [
                absolute + encoder.relative_bias(i, padded) for i in range(len(encoder.layers))
            ]
        return self._encoder[padded][layer][:, : len(layout), : len(layout)]

    def decoder_self_bias(self, layer: int, length: int) -> Tensor:
        """Return (H, T, T), absolute plus relative, -inf above the diagonal, of one decoder layer
        (0-based).
        """
        if not self._decoder_self or self._decoder_self[0].shape[1] < length:
            decoder, padded = self._model.decoder, _round_up(length)
            absolute = decoder.absolute_self_bias(padded)
            self._decoder_self = [
                absolute + decoder.relative_self_bias(i, padded) for i in range(len(decoder.layers))
            ]
        return self._decoder_self[layer][:, :length, :length]

    def cross_bias(self, length: int, layout: Layout) -> Tensor:
        """Return (H, T, S) of all decoder layers."""
        padded = Layout(layout.grid, _round_up(layout.num_text))
        kept = self._cross.get(padded)
        if kept is None or kept.shape[1] < length:
            positions = self._model.encoder.position_embedding(padded)
            kept = self._cross[padded] = self._model.decoder.cross_bias(
                _round_up(length), positions
            )
        return kept[:, :length, : len(layout)]


def _round_up(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP
