"""Released files, Hugging Face's and fairseq's: the same model from both, a clear refusal of what
is damaged, hostile or no OFA.
"""

import json
import os
import pickle
import re
from dataclasses import asdict
from random import Random

import golden_weights
import pytest
import torch
from released_files import (
    fairseq_container,
    fairseq_state,
    golden_config,
    golden_state,
    released_shapes,
    write_fairseq,
    write_hf,
)
from safetensors.torch import save_file
from small_ofa import golden_arrays, golden_model

from mue_cli.errors import CheckpointError, RecipeError
from mue_cli.model import checkpoint, tensor_file
from mue_cli.model.config import preset
from mue_cli.model.convert import SHARED_EMBEDDING, TIED, carried_shapes, is_buffer
from mue_cli.model.released_settings import hf_config

CASE = "g1_base_style"


@torch.inference_mode()
def logits(model):
    golden = golden_arrays(CASE)
    encoded = model.encode(
        golden["in_patch_images"].float(), golden["in_src_tokens"], False, golden["in_patch_masks"]
    )
    return model.decoder.logits(model.decode(golden["in_prev_output_tokens"], encoded)[-1])


@pytest.fixture(scope="module")
def expected():
    return logits(golden_model(CASE))


def write(layout, folder, state):
    """Write golden weights in a layout; return the file of weights."""
    if layout == "fairseq":
        return write_fairseq(folder / "odd name.bin", state)
    write_hf(folder, state, golden_config(CASE))
    if layout == "safetensors":
        (folder / "pytorch_model.bin").unlink()
        save_file(
            {name: tensor for name, tensor in state.items() if name not in TIED},
            folder / "weights.pt",
        )
        return folder / "weights.pt"
    return folder / "pytorch_model.bin"


LAYOUTS = ("hf", "safetensors", "fairseq")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_reference_model(tmp_path, expected, layout):
    assert torch.equal(
        logits(checkpoint.load(write(layout, tmp_path, golden_state(CASE)))), expected
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_give_one_model_in_float32(tmp_path, expected, dtype):
    state = {name: tensor.to(dtype) for name, tensor in golden_state(CASE).items()}
    models = [checkpoint.load(write(layout, tmp_path / layout, state)) for layout in LAYOUTS]
    assert all(
        parameter.dtype == torch.float32 for model in models for parameter in model.parameters()
    )
    first, *others = map(logits, models)
    assert all(torch.equal(first, other) for other in others)
    if dtype == torch.float16:  # the golden weights lie on its grid
        assert torch.equal(first, expected)


def test_averaged_weights_are_taken_by_choice(tmp_path, expected):
    last = {name: tensor * 0.5 for name, tensor in golden_state(CASE).items()}
    path = write_fairseq(tmp_path / "checkpoint_best.pt", last, ema=golden_state(CASE))
    assert torch.equal(logits(checkpoint.load(path, ema=True)), expected)
    assert not torch.equal(logits(checkpoint.load(path)), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_averaged_weights_that_are_not_there_are_an_error(tmp_path, layout):
    path = write(layout, tmp_path, golden_state(CASE))
    with pytest.raises(CheckpointError, match="holds no averaged weights"):
        checkpoint.load(path, ema=True)


def test_names_of_one_tensor_are_not_compared(tmp_path, monkeypatch):
    """In the file they are one: reading the embedding three times would cost as much again as half
    of the model.
    """
    state = golden_state(CASE)
    path = write("fairseq", tmp_path, state | dict.fromkeys(TIED, state[SHARED_EMBEDDING]))
    embedding = state[SHARED_EMBEDDING]
    monkeypatch.setattr(tensor_file, "GROUP_BYTES", embedding.numel() * embedding.element_size())
    monkeypatch.setattr(torch, "equal", None)
    checkpoint.load(path)


def test_fairseq_weights_without_container_and_settings_load(tmp_path, expected):
    torch.save(fairseq_state(golden_state(CASE)), tmp_path / "pytorch_model.bin")
    assert torch.equal(logits(checkpoint.load(tmp_path / "pytorch_model.bin")), expected)


def test_files_from_before_zip_archives_load(tmp_path, expected):
    path = tmp_path / "old.pt"
    torch.save(fairseq_container(golden_state(CASE)), path, _use_new_zipfile_serialization=False)
    assert torch.equal(logits(checkpoint.load(path)), expected)


def test_dropout_comes_from_the_file_and_can_be_replaced(tmp_path):
    path = write_fairseq(tmp_path / "best.pt", golden_state(CASE), dropout=0.25)
    assert (checkpoint.load(path).config.dropout, checkpoint.load(path).config.drop_path) == (
        0.25,
        0.1,
    )
    assert checkpoint.load(path, changes={"dropout": 0.0}).config.dropout == 0.0


def test_what_image_generation_uses_survives_our_own_checkpoint(tmp_path):
    state = golden_state(CASE)
    model = checkpoint.load(write("hf", tmp_path, state))
    checkpoint.save(model, tmp_path / "own.safetensors")
    again = checkpoint.load(tmp_path / "own.safetensors")
    assert again.carried.keys() == carried_shapes(model.config).keys()
    assert all(torch.equal(again.carried[name], state[name]) for name in again.carried)


def test_loading_fills_every_tensor(tmp_path):
    """The model starts as uninitialised memory: nothing may be left of it, batch norm's counters
    included.
    """
    state = golden_state(CASE)
    model = checkpoint.load(write("fairseq", tmp_path, state))
    for name, tensor in model.state_dict().items():
        wanted = (
            state[SHARED_EMBEDDING if name in TIED else name]
            if not is_buffer(name)
            else torch.zeros_like(tensor)
        )
        assert torch.equal(tensor, wanted), name


def embedding_copies(value):
    """Return the embedding under each of its names, in memory of its own, all numbers the same."""
    return {name: torch.full((600, 64), value) for name in (SHARED_EMBEDDING, *TIED)}


DAMAGE = [
    (
        lambda s: s.pop("decoder.layers.1.cross_attn.c_attn"),
        r"missing decoder\.layers\.1\.cross_attn\.c_attn",
    ),
    (lambda s: s.pop("decoder.image_pos_ln.bias"), r"missing decoder\.image_pos_ln\.bias"),
    (
        lambda s: s.update({"decoder.adapter.weight": torch.zeros(2)}),
        r"unknown decoder\.adapter\.weight",
    ),
    (
        lambda s: s.update({"encoder.image_proj.bias": torch.zeros(3)}),
        r"image_proj\.bias is \(3,\), expected \(64,\)",
    ),
    (
        lambda s: s["decoder.layer_norm.bias"].fill_(float("inf")),
        r"decoder\.layer_norm\.bias has values that are not finite",
    ),
    (
        lambda s: s["decoder.image_pos_ln.bias"].fill_(float("nan")),
        r"decoder\.image_pos_ln\.bias has values that are not finite",
    ),
    (
        lambda s: s.update({"encoder.image_proj.bias": torch.zeros(64, dtype=torch.int64)}),
        r"image_proj\.bias is torch\.int64, expected",
    ),
    (
        lambda s: s.update({"decoder.image_pos_ln.bias": torch.zeros(64).to(torch.float8_e4m3fn)}),
        r"image_pos_ln\.bias is torch\.float8_e4m3fn",
    ),
    (
        lambda s: s.update({"decoder.output_projection.weight": torch.zeros(600, 64)}),
        r"output_projection\.weight differs from encoder\.em",
    ),
    (
        lambda s: s.update({TIED[0]: s[SHARED_EMBEDDING].half()}),
        r"decoder\.embed_tokens\.weight differs from encoder\.embed_tokens",
    ),
    (
        lambda s: s.update(embedding_copies(float("nan"))),
        r"does not fit the model: encoder\.embed_tokens\.weight has values that are not finite$",
    ),
    (
        lambda s: s.update({"encoder.layers.99999.fc1.weight": torch.zeros(2)}),
        r"encoder\.layers\.3 is missing",
    ),
    (
        lambda s: s.update({f"encoder.layers.{'9' * 5000}.fc1.weight": torch.zeros(2)}),
        r"unknown encoder\.layers\.999",
    ),
    (
        lambda s: s.update({"encoder.embed_image_positions.weight": torch.zeros(0, 64)}),
        "`image_buckets` in .* is 0, expected a whole number",
    ),
    (
        lambda s: s.update({"encoder.token_rel_pos_table_list.0.weight": torch.zeros(511, 0)}),
        "`num_heads` in .* is 0, expected a whole number",
    ),
    (
        lambda s: s.update({"encoder.token_rel_pos_table_list.0.weight": torch.zeros(511, 5)}),
        "5 heads cannot share 64 dimensions",
    ),
]


@pytest.mark.parametrize("layout", ["hf", "fairseq"])
@pytest.mark.parametrize(("change", "message"), DAMAGE)
def test_tensors_that_do_not_fit_are_named(tmp_path, layout, change, message):
    state = {
        name: tensor.clone() for name, tensor in golden_state(CASE).items() if name not in TIED
    }
    change(state)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(write(layout, tmp_path, state))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1, 64).expand(10**12, 64),
        torch.zeros(600, 64, device="meta"),
        torch.zeros(600, 64).to_sparse(),
    ],
    ids=["repeated", "meta", "sparse"],
)
def test_tensors_that_do_not_hold_their_numbers_are_refused(tmp_path, tensor):
    """A row that is repeated 10 ** 12 times is small in the file, and 256 TB as a model."""
    path = write_fairseq(tmp_path / "best.pt", golden_state(CASE) | {SHARED_EMBEDDING: tensor})
    with pytest.raises(
        CheckpointError,
        match=r"'encoder\.embed_tokens\.weight' is a tensor without all its numbers",
    ):
        checkpoint.load(path)


def test_a_tensor_under_both_its_names_is_refused(tmp_path):
    container = fairseq_container(golden_state(CASE))
    container["model"]["encoder.layers.0.self_attn_mid_layer_norm.weight"] = torch.full((64,), 7.0)
    torch.save(container, tmp_path / "best.pt")
    with pytest.raises(
        CheckpointError,
        match=r"attn_ln\.weight and encoder\.layers\.0\.self_attn_mid_layer_norm\.weight are the same tensor",
    ):
        checkpoint.load(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"attn_scale_factor": "two"},
            '`attn_scale_factor` in .* is "two", expected a number, above 0',
        ),
        ({"attn_scale_factor": 0}, "`attn_scale_factor` in .* is 0, expected a number, above 0"),
        (
            {"scale_embedding": "false"},
            '`scale_embedding` in .* is "false", expected true or false',
        ),
        ({"dropout": 7}, "`dropout` in .* is 7, expected a number, from 0 to 1"),
        ({"d_model": "64"}, "say embed_dim '64', its tensors 64"),
    ],
)
def test_settings_of_the_wrong_kind_are_errors(tmp_path, settings, message):
    """Python takes the text "false" for true, which would scale every embedding."""
    path = (
        write_hf(tmp_path, golden_state(CASE), golden_config(CASE) | settings) / "pytorch_model.bin"
    )
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"embed_dim": "x"}, '`embed_dim` in .* is "x", expected a whole number'),
        ({"num_heads": 0}, "`num_heads` in .* is 0, expected a whole number"),
        (
            {"resnet_blocks": [1, 2]},
            r"`resnet_blocks` in .* is \[1, 2\], expected a list of 3",
        ),
        ({"wings": 2}, "unknown key `wings`"),
        ({"num_decoder_layers": 10**9}, "expected a whole number, from 1 to 1000"),
        ({"num_decoder_layers": 900}, "says more layers than it has tensors"),
    ],
)
def test_our_own_checkpoints_header_is_not_trusted(tmp_path, sizes, message):
    model = golden_model(CASE)
    header = {"format": checkpoint.FORMAT, "config": json.dumps(asdict(model.config) | sizes)}
    save_file(checkpoint.weights_of(model), tmp_path / "own.safetensors", metadata=header)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(tmp_path / "own.safetensors")


def test_changes_that_make_no_sense_are_the_users_mistake(tmp_path):
    path = write_fairseq(tmp_path / "best.pt", golden_state(CASE))
    with pytest.raises(
        RecipeError, match=r'`dropout` in model\.config is "much", expected a number'
    ):
        checkpoint.load(path, changes={"dropout": "much"})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0, 5, 1000, -1000, -100_000])
def test_a_file_cut_short_is_refused(tmp_path, layout, kept):
    path = write(layout, tmp_path, golden_state(CASE))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="cut short"):
        checkpoint.load(path)


@pytest.mark.parametrize("kept", [5, 1000, 30_000, -1000])
def test_an_old_file_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "old.pt"
    torch.save(fairseq_container(golden_state(CASE)), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is damaged or cut short"):
        checkpoint.load(path)


@pytest.mark.parametrize("new", [True, False])
def test_damaged_bytes_are_called_damaged_and_never_a_traceback(tmp_path, new):
    """Not "refused": nothing in such a file wants to run."""
    path = tmp_path / "damaged.pt"
    torch.save(fairseq_container(golden_state(CASE)), path, _use_new_zipfile_serialization=new)
    whole, random = path.read_bytes(), Random(0)
    start = whole.index(b"encoder.embed_tokens")
    kinds = set()
    for _ in range(15):
        place = start + random.randrange(2000)
        path.write_bytes(whole[:place] + bytes([random.randrange(256)]) + whole[place + 1 :])
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            assert "PyTorch 2.6" not in error.message
            kinds.add(
                next(
                    (kind for kind in ("is damaged", "is refused") if kind in error.message),
                    "other",
                )
            )
    assert "is damaged" in kinds


def test_an_old_file_is_read_once(tmp_path, monkeypatch):
    """Its tensors cannot be mapped, so that reading them group by group would read the whole file
    again for each.
    """
    path, calls = tmp_path / "old.pt", []
    torch.save(fairseq_container(golden_state(CASE)), path, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(tensor_file, "GROUP_BYTES", 2**16)
    read = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, **options: calls.append(args) or read(*args, **options)
    )
    checkpoint.load(path)
    assert len(calls) == 1


def test_numbers_that_the_reader_does_not_know_are_an_error(tmp_path):
    path = write("safetensors", tmp_path, golden_state(CASE))
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    last = max(
        (entry for name, entry in header.items() if name != "__metadata__"),
        key=lambda entry: entry["data_offsets"],
    )
    start, end = last["data_offsets"]
    last.update(dtype="F6_E2M3", data_offsets=[start, start + (end - start) // 32 * 6])
    changed = json.dumps(header).encode()
    data = content[8 + length :][: last["data_offsets"][1]]
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data)
    with pytest.raises(CheckpointError, match=r"cannot read .*weights\.pt: Dtype not understood"):
        checkpoint.load(path)


class Hostile:
    """Runs a command when it is unpickled by `pickle.load`."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path, form):
    trace = tmp_path / "was here"
    content = {"model": fairseq_state(golden_state(CASE)), "cfg": Hostile(f"touch '{trace}'")}
    path = tmp_path / "pytorch_model.bin"
    if form == "bare":
        path.write_bytes(pickle.dumps(content["cfg"], protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match="is refused"):
        checkpoint.load(path)
    assert not trace.exists()
    if form == "bare":  # the trap works, so that the refusal means something
        pickle.loads(path.read_bytes())
        assert trace.exists()


def test_the_refusal_names_what_would_have_run(tmp_path):
    torch.save({"model": Hostile("true")}, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=r"would run or build `(posix|nt)\.system`"):
        checkpoint.load(tmp_path / "best.pt")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "model.bin"
    for content, message in (
        ({"model": {"a": 3}}, "'a' is a int, expected a tensor"),
        ([1, 2], "holds a list, expected tensors by name"),
        ({"a": torch.zeros(2)}, r"no whole OFA: encoder\.embed_tokens\.weight is missing"),
    ):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(path)
    path.write_text("<!doctype html><title>Not found</title>")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch file"):
        checkpoint.load(path)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000], ids=["cut", "list", "deep"])
def test_broken_settings_beside_the_weights_are_an_error(tmp_path, text):
    path = write("hf", tmp_path, golden_state(CASE))
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "config.json"))):
        checkpoint.load(path)


def test_a_released_size_gives_identical_logits_from_both_layouts_and_from_half_precision(tmp_path):
    """The smallest one with golden weights, 541 names; test_model_convert.py has the names and
    shapes of all, tests/benchmarks/load_base.py loads base.
    """
    state = golden_weights.state_dict(released_shapes("tiny"))
    half = {name: tensor.half() for name, tensor in state.items()}
    half |= dict.fromkeys(TIED, half[SHARED_EMBEDDING])
    files = [
        write_hf(tmp_path / "hf", state, hf_config(preset("tiny"))) / "pytorch_model.bin",
        write_fairseq(tmp_path / "tiny.pt", half),
    ]
    del state, half
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    tokens, words = (
        torch.tensor([[0, 99, 473, 5, 2274, 6190, 116, 2]]),
        torch.tensor([[0, 10, 313]]),
    )
    found = []
    for file in files:
        model = checkpoint.load(file)
        file.unlink()
        with torch.inference_mode():
            found.append(model.decoder.logits(model(images, tokens, words, False)[-1]))
    assert found[0].shape == (1, 3, 59457) and found[0].std() > 0.1
    assert torch.equal(*found)
