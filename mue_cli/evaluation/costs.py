"""What predictions cost: expected reduction (Eq. 14), FLOPs, and time against the full model."""

from collections.abc import Sequence

import torch

from mue_cli.cost.flops import flops_reduction
from mue_cli.cost.latency import LatencyPair, interleaved_samples
from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Predictor, Progress, predict_batch
from mue_cli.exits.methods import Method, full
from mue_cli.exits.trace import Trace


def costs(
    predictor: Predictor, method: Method, traces: Sequence[Trace], image_size: int
) -> dict[str, float]:
    """Return what the traces cost: expected reduction (Eq. 14), FLOPs and mean exit layers, named
    as in Record.costs.
    """
    config = predictor.model.config
    expected = expected_time_reduction(traces, config.num_encoder_layers, config.num_decoder_layers)
    flops = flops_reduction(traces, config, image_size, method, predictor.num_classes)
    return {
        "expected": expected.expected,
        "expected_token_weighted": expected.expected_token_weighted,
        "flops": flops.reduction,
        "gflops_per_sample": flops.mean.total / 1e9,
        **{f"{stream}_layers": layers for stream, layers in expected.encoder_layers.items()},
        "decoder_layers": expected.decoder_layers,
        "num_encoder_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
    }


def time_against_full(
    predictor: Predictor,
    method: Method,
    batches: Sequence[Batch],
    repeats: int = 3,
    progress: Progress | None = None,
) -> LatencyPair:
    """Time a method and `full`, the same walk and cache, turn by turn on each batch."""
    reference = full(method.decompose)
    synchronize = torch.cuda.synchronize if predictor.device.type == "cuda" else None
    return interleaved_samples(
        batches,
        lambda batch: predict_batch(predictor, method, batch),
        lambda batch: predict_batch(predictor, reference, batch),
        repeats=repeats,
        synchronize=synchronize,
        progress=progress,
    )
