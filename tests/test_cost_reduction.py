from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.exits.trace import Trace


def trace(
    encoder_exits: Mapping[str, int],
    decoder_exits: tuple[int, ...],
    num_words: int | None = None,
    tokens: Mapping[str, int] | None = None,
) -> Trace:
    return Trace(
        sample_id="a",
        encoder_exits=encoder_exits,
        encoder_tokens=tokens or dict.fromkeys(encoder_exits, 10),
        decoder_exits=decoder_exits,
        num_words=len(decoder_exits) if num_words is None else num_words,
        num_hypotheses=(1,) * len(decoder_exits),
    )


def test_joint_stream_by_hand() -> None:
    # n_E/N_E = 3/6; five words leave at 2 and five at 4 of 6: mean 3, 3/6. 1 - (1/2 + 1/2) / 2.
    result = expected_time_reduction([trace({"joint": 3}, (2,) * 5 + (4,) * 5)], 6, 6)
    assert result.expected == pytest.approx(0.5)
    assert result.encoder_layers == {"joint": 3.0}
    assert result.decoder_layers == 3.0
    assert (result.num_samples, result.num_words) == (1, 10)


def test_two_streams_count_alike_in_equation_14_and_by_their_tokens_beside_it() -> None:
    # streams: (2 + 6) / 2 = 4 of 8 layers; by tokens: (2 * 90 + 6 * 10) / 100 = 2.4 of 8. Words: (1
    # + 3) / 2 = 2 of 4.
    result = expected_time_reduction(
        [trace({"image": 2, "text": 6}, (1, 3), tokens={"image": 90, "text": 10})], 8, 4
    )
    assert result.expected == pytest.approx(1 - (0.5 + 0.5) / 2)
    assert result.expected_token_weighted == pytest.approx(1 - (0.3 + 0.5) / 2)


def test_encoder_is_averaged_over_samples_and_decoder_over_words() -> None:
    # n_E = (2 + 4) / 2 = 3 of 6. Words: one at 6, three at 2: 12 / 4 = 3 of 6 (a mean of sample
    # means would give 4).
    result = expected_time_reduction(
        [trace({"joint": 2}, (6,)), trace({"joint": 4}, (2, 2, 2))], 6, 6
    )
    assert result.expected == pytest.approx(0.5)
    assert result.decoder_layers == 3.0


def test_steps_that_gave_no_word_of_the_answer_do_not_count() -> None:
    result = expected_time_reduction([trace({"joint": 6}, (3, 3, 6, 6, 6), num_words=2)], 6, 6)
    assert result.num_words == 2
    assert result.expected == pytest.approx(0.25)


def test_streams_means_are_reported_each() -> None:
    result = expected_time_reduction(
        [trace({"image": 2, "text": 6}, (4,)), trace({"image": 5, "text": 6}, (4,))], 6, 6
    )
    assert result.encoder_layers == {"image": 3.5, "text": 6.0}


@pytest.mark.parametrize("traces", [[], [trace({"joint": 1}, (1,), num_words=0)]])
def test_without_words_there_is_no_reduction(traces: list[Trace]) -> None:
    with pytest.raises(ValueError, match="at least one word"):
        expected_time_reduction(traces, 6, 6)


def test_traces_of_two_methods_are_not_mixed() -> None:
    with pytest.raises(ValueError, match=r"trace a has streams \['joint'\]"):
        expected_time_reduction(
            [trace({"image": 1, "text": 1}, (1,)), trace({"joint": 1}, (1,))], 6, 6
        )


@given(
    encoder=st.integers(1, 12),
    decoder=st.integers(1, 12),
    words=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_every_layer_run_is_no_reduction(encoder: int, decoder: int, words: list[int]) -> None:
    result = expected_time_reduction(
        [trace({"image": encoder, "text": encoder}, (decoder,) * count) for count in words],
        encoder,
        decoder,
    )
    assert result.expected == pytest.approx(0)
    assert result.expected_token_weighted == pytest.approx(0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(1, 6),
            st.lists(st.integers(1, 4), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_reduction_stays_between_none_and_all_but_the_first_layers(
    samples: list[tuple[int, int, list[int]]],
) -> None:
    traces = [
        trace({"image": i, "text": t}, tuple(words), tokens={"image": 9, "text": 3})
        for i, t, words in samples
    ]
    result = expected_time_reduction(traces, 6, 4)
    for value in (result.expected, result.expected_token_weighted):
        assert -1e-9 <= value <= 1 - (1 / 6 + 1 / 4) / 2 + 1e-9
