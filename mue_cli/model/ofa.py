"""OFA whole: the encoder and the decoder around one embedding, and the forward pass that training
uses.

Inference does not come through here: it walks the same layers one by one (mue_cli.inference).

Shape letters: B rows, I image side, P patches, L source tokens, S = P + L, T target positions, D
embed, N layers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mue_cli.model.attention import attend_to, attend_to_texts
from mue_cli.model.config import OFAConfig
from mue_cli.model.decoder import Decoder
from mue_cli.model.encoder import (
    Encoder,
    Stream,
    join_padding,
    joint_stream,
    separate_streams,
    with_padding,
)
from mue_cli.model.positions import Layout

EMBEDDING_STD = 0.02


@dataclass(frozen=True)
class EncoderOutput:
    """hidden: (B, S, D), normalised. padding_mask: (B, S) or None. positions: (S, D).

    states: per stream, N + 1 states (B, S, D), embedding first.
    """

    hidden: Tensor
    padding_mask: Tensor | None
    positions: Tensor
    states: dict[str, list[Tensor]]


def kept(layer: nn.Module, *inputs: object) -> Tensor:
    """Apply a layer; what happens inside is kept for its gradient."""
    output: Tensor = layer(*inputs)
    return output


def recomputed(layer: nn.Module, *inputs: object) -> Tensor:
    """Apply a layer; what happens inside is computed again for its gradient, under the same
    dropout: only what enters is kept.
    """
    output: Tensor = checkpoint(layer, *inputs, use_reentrant=False)
    return output


class OFA(nn.Module):
    """One-for-All (Wang et al., ICML 2022): a ResNet-fed encoder-decoder with tied embeddings.

    carried: tensors of a released file that only image generation uses; kept for writing the file
    again, in no parameter list. run_layer: applies a layer to its inputs, `kept` or `recomputed`.
    """

    def __init__(self, config: OFAConfig) -> None:
        super().__init__()
        self.config = config
        self.carried: dict[str, Tensor] = {}
        self.run_layer: Callable[..., Tensor] = kept
        embed_tokens = nn.Embedding(config.vocab_size, config.embed_dim)
        self.encoder = Encoder(config, embed_tokens)
        self.decoder = Decoder(config, embed_tokens)
        if not embed_tokens.weight.is_meta:  # values that a file replaces are not drawn
            self.apply(lambda module: _initialise(module, config.init_std))
        if config.init_active_layers is not None:
            for layer in (
                *self.encoder.layers[config.init_active_layers :],
                *self.decoder.layers[config.init_active_layers :],
            ):
                _pass_on(layer)

    def encode(
        self, images: Tensor, tokens: Tensor, decompose: bool, image_mask: Tensor | None = None
    ) -> EncoderOutput:
        """Run every encoder layer on (B, 3, I, I) images and (B, L) tokens, keeping all states."""
        image, text = self.encoder.embed(images, tokens, image_mask)
        streams = (separate_streams if decompose else joint_stream)(image, text)
        if decompose and self._is_one_text(tokens):
            states = {image.name: self._encode_stream(image), text.name: self._encode_once(text)}
        else:
            states = {stream.name: self._encode_stream(stream) for stream in streams}
        hidden = self.encoder.join([states[stream.name][-1] for stream in streams])
        layout = Layout(image.layout.grid, text.layout.num_text)
        return EncoderOutput(
            hidden, join_padding([image, text]), self.encoder.position_embedding(layout), states
        )

    def _is_one_text(self, tokens: Tensor) -> bool:
        """Tell whether all rows ask the same, and nothing random sets them apart."""
        random = self.training and (self.config.dropout > 0.0 or self.config.drop_path > 0.0)
        return not random and len(tokens) > 1 and bool((tokens == tokens[:1]).all())

    def _encode_once(self, stream: Stream) -> list[Tensor]:
        """Encode the first of equal rows and give all rows its states."""
        rows, padding = len(stream.hidden), stream.padding_mask
        first = replace(
            stream,
            hidden=stream.hidden[:1],
            padding_mask=None if padding is None else padding[:1],
        )
        return [state.expand(rows, -1, -1) for state in self._encode_stream(first)]

    def _encode_stream(self, stream: Stream) -> list[Tensor]:
        states = [stream.hidden]
        absolute = self.encoder.absolute_bias(stream.layout)
        for i, layer in enumerate(self.encoder.layers):
            bias = with_padding(
                absolute + self.encoder.relative_bias(i, stream.layout), stream.padding_mask
            )
            states.append(self.run_layer(layer, states[-1], bias))
        return states

    def decode(self, tokens: Tensor, encoded: EncoderOutput) -> list[Tensor]:
        """Run every decoder layer on (B * Q, T) tokens under teacher forcing: Q texts for each
        encoded row, side by side. Returns N + 1 states (B * Q, T, D), embedding first.
        """
        length = tokens.shape[1]
        num_texts = len(tokens) // len(encoded.hidden)
        absolute = self.decoder.absolute_self_bias(length)
        cross_bias = with_padding(
            self.decoder.cross_bias(length, encoded.positions), encoded.padding_mask
        )
        if num_texts > 1:
            cross_bias = cross_bias.repeat(1, 1, num_texts, 1)  # (B, H, T, S) -> (B, H, Q T, S)
        states = [self.decoder.embed(tokens).unflatten(0, (-1, num_texts)).flatten(1, 2)]
        for i, layer in enumerate(self.decoder.stack()):
            self_bias = (absolute + self.decoder.relative_self_bias(i, length))[None]
            attend_self = attend_to_texts(num_texts, self_bias)
            attend_cross = attend_to(encoded.hidden, cross_bias)
            states.append(self.run_layer(layer, states[-1], attend_self, attend_cross))
        return [state.view(len(tokens), length, -1) for state in states]

    def forward(
        self, images: Tensor, source_tokens: Tensor, decoder_tokens: Tensor, decompose: bool
    ) -> list[Tensor]:
        """Return the state of every decoder layer, N tensors (B, T, D), for the layer-wise loss
        (Eq. 12-13). Rows of decoder_tokens may be several times those of images.
        """
        return self.decode(decoder_tokens, self.encode(images, source_tokens, decompose))[1:]


def _initialise(module: nn.Module, linear_std: float) -> None:
    """Draw weights as OFA does: BERT's initialisation, and He for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=linear_std)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=EMBEDDING_STD)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _pass_on(layer: nn.Module) -> None:
    """Zero what each block of a layer adds to its input; it can still learn, as the first factors
    of the products are not zero.
    """
    for name, parameter in layer.named_parameters():
        if "mid_layer_norm" in name or name.startswith("fc2"):
            nn.init.zeros_(parameter)
