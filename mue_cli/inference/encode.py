"""The encoder at inference: each stream walks the layers by itself and leaves when its rule says so
(Eq. 3-4, 7-9).

Shape letters: B rows, P patches, L text tokens, S = P + L, D embed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mue_cli.exits.methods import Method
from mue_cli.inference.cuda.recorder import Recorder
from mue_cli.inference.cuda.rule import recorded_rule
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.rows import Rows
from mue_cli.inference.walk import ApplyLayer, Probe, walk
from mue_cli.model.backbone import Backbone
from mue_cli.model.encoder import Stream, join_padding, joint_stream, separate_streams, with_padding
from mue_cli.model.positions import Layout


@dataclass(frozen=True)
class Encoded:
    """hidden: (B, S, D), normalised, image first. padding_mask: (B, S), None when nothing is
    padded.

    layout: of the whole, for position biases. exit_layers, num_tokens: per stream, per row;
    num_tokens counts no padding.
    """

    hidden: Tensor
    padding_mask: Tensor | None
    layout: Layout
    exit_layers: Mapping[str, list[int]]
    num_tokens: Mapping[str, list[int]]


def encode(
    model: Backbone,
    tables: PositionTables,
    method: Method,
    images: Tensor,
    tokens: Tensor,
    image_mask: Tensor | None = None,
    probes: Mapping[str, Probe] | None = None,
) -> Encoded:
    """Encode (B, 3, I, I) images and (B, L) tokens, each stream as deep as its rule lets it go.

    image_mask: (B,) bool, False where a row has no image. probes: by stream name.
    """
    recorder = None if probes else tables.recorder  # a probe may keep states for longer
    images = images.to(model.encoder.embed_positions.weight.dtype)
    if recorder is not None:
        images = recorder("trunk", model.encoder.embed_images, images)
    image, text = model.encoder.embed(images, tokens, image_mask)
    streams = (separate_streams if method.decompose else joint_stream)(image, text)
    outputs = {
        stream.name: walk(
            stream.hidden,
            len(model.encoder.layers),
            _layers(model, tables, stream, recorder),
            recorded_rule(method.rule(stream.name), stream.name, len(stream.hidden), recorder),
            padding_mask=stream.padding_mask,
            probe=(probes or {}).get(stream.name),
        )
        for stream in streams
    }
    return Encoded(
        model.encoder.join([output.hidden for output in outputs.values()]),
        join_padding([image, text]),
        Layout(image.layout.grid, text.layout.num_text),
        {name: output.exit_layers for name, output in outputs.items()},
        {stream.name: _num_tokens(stream) for stream in streams},
    )


def _layers(
    model: Backbone, tables: PositionTables, stream: Stream, recorder: Recorder | None
) -> ApplyLayer:
    def apply(layer: int, hidden: Tensor, rows: Rows) -> Tensor:
        run = model.encoder.layers[layer]
        bias = tables.encoder_bias(layer, stream.layout)
        if recorder is not None and stream.padding_mask is None and rows.are_all:
            name = ("encoder layer", layer, stream.layout)
            return recorder(name, lambda x: run(x, bias[None]), hidden)
        padding_mask = None if stream.padding_mask is None else rows.take(stream.padding_mask)
        after: Tensor = run(hidden, with_padding(bias, padding_mask))
        return after

    return apply


def _num_tokens(stream: Stream) -> list[int]:
    if stream.padding_mask is None:
        return [stream.hidden.shape[1]] * len(stream.hidden)
    return (~stream.padding_mask).sum(1).tolist()
