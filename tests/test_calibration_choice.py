"""Choosing among measured settings: losses, intervals, halving, frontier, exit table, certificate."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.calibration.candidates import candidate_thresholds, candidates_at, first_above
from mue_cli.calibration.certificate import certify, path_of, without_detours
from mue_cli.calibration.exit_table import ExitTable
from mue_cli.calibration.frontier import frontier, last_within, rising, smoothed, staircase
from mue_cli.calibration.halving import Finalist, choose, halve, rounds
from mue_cli.calibration.losses import by_picture, relative_drop, wrong_now
from mue_cli.calibration.measured import Intervals, Measured, Setting, intervals, standard_error
from mue_cli.calibration.settings import Settings
from mue_cli.calibration.suitability import suitability
from mue_cli.errors import MueError


def measured(
    scores: Sequence[float], saved: float | Sequence[float] = 0.0, name: float = 0.0
) -> Measured:
    """A setting whose samples each save so much, in one part."""
    spent = 1.0 - np.broadcast_to(saved, len(scores))[:, None]
    values = np.asarray(scores, dtype=float)
    return Measured(Setting({"decoder": name}), values, spent, np.ones_like(spent))


def test_wrong_now_counts_only_what_was_right_before() -> None:
    assert wrong_now([1, 1, 0, 0], [1, 0, 1, 0]).tolist() == [0, 1, 0, 0]


def test_relative_drop_by_hand() -> None:
    """Half lost, gained, all lost, and a caption of the full model that was worth nothing."""
    assert relative_drop([80, 50, 20, 0], [40, 70, 0, 30]).tolist() == [0.5, 0, 1, 0]


def test_questions_about_one_picture_count_as_one_sample() -> None:
    assert by_picture([1, 0, 1, 1], ["b", "b", "a", "a"]).tolist() == [0.5, 1.0]


def test_reduction_is_a_ratio_of_sums_in_each_part() -> None:
    """Encoder: 0.5 and 1 of 1 each: 0.75. Decoder: 1 and 3 of 2 and 8 words: 0.4. Eq. 14: 0.425."""
    spent, whole = np.array([[0.5, 1.0], [1.0, 3.0]]), np.array([[1.0, 2.0], [1.0, 8.0]])
    each = Measured(Setting({}), np.zeros(2), spent, whole)
    assert each.reduction == pytest.approx(1 - (0.75 + 0.4) / 2)


def test_intervals_of_a_constant_difference_have_no_width() -> None:
    random = np.random.default_rng(0)
    full = measured(random.uniform(0, 100, 50))
    early = measured(full.scores - 3.0, 0.25)
    result = intervals(early, full)
    assert result.difference == pytest.approx((-3.0, -3.0))
    assert result.reduction == pytest.approx((0.25, 0.25))
    assert result.score[1] - result.score[0] > 10


def test_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    random = np.random.default_rng(1)
    full, early = measured(random.normal(0, 1, 400)), measured(random.normal(1, 1, 400))
    low, high = intervals(early, full).difference
    differences = early.scores - full.scores
    half = 1.96 * differences.std() / 20
    assert (low, high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half), abs=0.02
    )


def test_interval_over_pictures_is_wider_when_their_questions_agree() -> None:
    random = np.random.default_rng(2)
    scores = np.repeat(random.normal(0, 1, 100), 3)
    groups = [str(number // 3) for number in range(300)]
    early, full = measured(scores), measured(np.zeros(300))
    plain, grouped = intervals(early, full), intervals(early, full, groups)
    width = [each.difference[1] - each.difference[0] for each in (plain, grouped)]
    assert width[1] == pytest.approx(3**0.5 * width[0], rel=0.1)


def test_one_picture_has_no_interval_and_no_standard_error() -> None:
    one, two = measured([50.0], 0.3), measured([50.0, 60.0], 0.3)
    assert intervals(one, one) == intervals(two, two, ["a", "a"]) == Intervals()
    assert intervals(two, two, ["a", "b"]).score == (50.0, 60.0)
    assert standard_error(np.array([1.0])) == float("inf")


def test_rounds_use_every_sample_once() -> None:
    parts = rounds(range(10, 30), 8)
    assert [len(part) for part in parts] == [10, 5, 5]
    assert sorted(itertools.chain(*parts)) == list(range(10, 30))
    assert rounds(range(4), 2) == rounds(range(4), 1) == [[0, 1, 2, 3]]
    assert rounds([], 8) == []


class Noisy:
    """Settings of known worth, whose samples are noisy about it; counts what is run."""

    def __init__(self, worth: Sequence[float], num_samples: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.full = measured(random.normal(100.0, 20.0, num_samples))
        noise = random.normal(0.0, 5.0, (len(worth), num_samples))
        self.all = [
            measured(self.full.scores - 10.0 + value + noise[number], 0.4, float(number))
            for number, value in enumerate(worth)
        ]
        self.runs = 0

    def measure(self, setting: Setting, samples: Sequence[int]) -> Measured:
        self.runs += len(samples)
        return self.all[int(setting.thresholds["decoder"])].of(samples)


def test_halving_is_fooled_less_often_than_the_best_of_the_search() -> None:
    """Fifteen equal settings and a better one: on 20 samples each the best is mostly a lucky one."""
    right = {"search": 0, "halving": 0}
    for seed in range(60):
        noisy = Noisy([2.0, *[0.0] * 15], 160, seed)
        searched = [each.of(range(20)) for each in noisy.all]
        best = max(searched, key=lambda each: each.score)
        right["search"] += best.setting.thresholds["decoder"] == 0.0
        shortlist = sorted(searched, key=lambda each: -each.score)[:8]
        chosen = halve(shortlist, noisy.measure, noisy.full, range(20, 160), 0.3)
        right["halving"] += chosen.finalist.searched.setting.thresholds["decoder"] == 0.0
        assert noisy.runs == 8 * 70 + 4 * 35 + 2 * 35
    assert right["halving"] > 1.3 * right["search"]


def test_winner_is_judged_on_fresh_samples_alone() -> None:
    noisy = Noisy([0.0, 0.0], 40, 3)
    chosen = halve(
        [each.of(range(10)) for each in noisy.all], noisy.measure, noisy.full, range(10, 40), 0.1
    )
    assert len(chosen.finalist.judged.scores) == 30
    assert len(chosen.finalist.all.scores) == 40


def test_of_ties_the_one_that_saves_more_wins_then_the_steadier() -> None:
    full = measured(np.full(100, 50.0))
    noise = np.tile([5.0, -5.0], 50)
    best, saves = measured(full.scores + noise + 0.3, 0.40), measured(full.scores - noise, 0.43)
    worse = measured(full.scores - 10.0, 0.5)
    chosen = choose([Finalist(each) for each in (best, saves, worse)], full, 0.4)
    assert (chosen.finalist.searched, chosen.ties) == (saves, 2)
    shaky = measured(full.scores - 2 * noise, 0.4303)
    chosen = choose([Finalist(each) for each in (best, saves, shaky, worse)], full, 0.4)
    assert (chosen.finalist.searched, chosen.ties) == (saves, 3)


def test_when_none_saves_enough_the_nearest_is_returned_and_said_not_to_meet_it() -> None:
    settings = [Finalist(measured([1.0, 2.0], saved)) for saved in (0.1, 0.3, 0.2)]
    chosen = choose(settings, None, 0.5)
    assert not chosen.met
    assert chosen.finalist is settings[1]


def test_halving_without_fresh_samples_takes_the_search_at_its_word() -> None:
    one = measured([7.0], 0.4)
    chosen = halve([one], lambda setting, samples: one, one, [], 0.3)
    assert chosen.met
    assert chosen.finalist.judged is one


def test_frontier_by_hand() -> None:
    reduction = [0.0, 0.10, 0.11, 0.2, 0.3, 0.25]
    score = [100.0, 99.0, 98.0, 99.5, 90.0, 80.0]
    assert frontier(reduction, score) == [0, 3, 4]


def test_of_equal_scores_the_frontier_keeps_what_saves_most() -> None:
    assert frontier([0.0, 0.3, 0.1], [5.0, 5.0, 5.0]) == [1]


def test_staircase_leads_up_to_the_frontier() -> None:
    reduction = [0.0, 0.12, 0.18, 0.35, 0.6, 0.7]
    score = [95.0, 94.0, 96.0, 97.0, 99.0, 98.0]
    assert frontier(reduction, score) == [4, 5]
    assert staircase(reduction, score) == [0, 2, 3, 4, 5]


def test_smoothing_takes_the_neighbours_mean() -> None:
    lucky = np.zeros((3, 3))
    lucky[1, 1] = 9.0
    assert smoothed(lucky.ravel(), (3, 3)) == pytest.approx(np.ones(9))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_rising_never_falls_and_keeps_the_mean(values: list[float]) -> None:
    result = rising(values)
    assert (np.diff(result) >= -1e-12).all()
    assert result.mean() == pytest.approx(np.mean(values))


def test_rising_by_hand() -> None:
    assert rising([0.0, 0.4, 0.2, 0.6]) == pytest.approx([0.0, 0.3, 0.3, 0.6])
    assert last_within([0.0, 0.4, 0.2, 0.6], 0.25) == 1
    assert last_within([0.0, 0.4, 0.2, 0.6], 0.31) == 3


def small_table(seed: int = 0, num_samples: int = 40, layers: int = 4) -> ExitTable:
    random = np.random.default_rng(seed)
    shape = (num_samples, layers, layers, layers)
    return ExitTable(
        {stream: random.uniform(-1, 1, (num_samples, layers)) for stream in ("image", "text")},
        random.uniform(-1, 1, shape),
        (random.random(shape) < 0.5).astype(float),
    )


def walked(table: ExitTable, thresholds: dict[str, float], row: int) -> tuple[int, int, int]:
    """Exit layers of a sample, layer by layer."""

    def leave(scores: np.ndarray, threshold: float) -> int:
        for layer, score in enumerate(scores[:-1], start=1):
            if score > threshold:
                return layer
        return len(scores)

    image, text = (leave(table.encoder[each][row], thresholds[each]) for each in ("image", "text"))
    decoder = leave(table.decoder[row, image - 1, text - 1], thresholds["decoder"])
    return image, text, decoder


def test_table_knows_what_every_setting_does() -> None:
    table = small_table()
    for values in itertools.product((-1.0, 0.0, 0.6, 1.01), repeat=3):
        thresholds = dict(zip(("image", "text", "decoder"), values, strict=True))
        result = table.measure(Setting(thresholds))
        exits = [walked(table, thresholds, row) for row in range(len(table))]
        right = [
            table.scores[row, image - 1, text - 1, decoder - 1]
            for row, (image, text, decoder) in enumerate(exits)
        ]
        assert result.scores.tolist() == right
        image, text, decoder = np.mean(exits, axis=0) / 4
        assert result.reduction == pytest.approx(1 - ((image + text) / 2 + decoder) / 2)


def test_grid_agrees_with_every_single_setting() -> None:
    table = small_table(1)
    streams = {**table.encoder, "decoder": table.decoder[:, -1, -1]}
    settings = Settings.of({name: candidate_thresholds(each, 4) for name, each in streams.items()})
    samples = list(range(5, 30))
    means = table.grid(settings, samples)
    for number in range(0, len(settings.thresholds), 7):
        single = table.measure(Setting(settings[number]), samples)
        assert means.scores[number] == pytest.approx(single.score)
        saved = means.saved[number]
        assert (saved[:2].mean() + saved[2]) / 2 == pytest.approx(single.reduction)


def test_similarity_that_is_no_number_lets_nothing_leave() -> None:
    scores = np.array([[np.nan, 0.9, 0.5], [np.nan, np.nan, np.nan]])
    assert first_above(scores, [0.5]).tolist() == [[2, 3]]
    candidates = candidate_thresholds(scores)
    assert np.isfinite(candidates.thresholds).all()
    assert candidates.saved[-1] == pytest.approx(1 - (2 + 3) / 6)


def test_counts_have_the_candidates_they_are_given() -> None:
    """Agreeing layers 1 2 3 and 1 1 2: above 1 they leave after 2 and 3, above 3 never."""
    candidates = candidates_at([[1, 2, 3], [1, 1, 2]], [3, 2, 1])
    assert candidates.saved == pytest.approx([0, 0, 1 - 2.5 / 3])


def test_certificate_keeps_the_last_that_passed() -> None:
    losses = [np.zeros(300), np.full(300, 0.01), np.full(300, 0.09), np.zeros(300)]
    result = certify(4, lambda number: losses[number], 0.05, 0.95)
    assert result.num_passed == 2
    assert result.mean_loss == pytest.approx(0.01)
    assert len(result.p_values) == 3
    assert result.units_needed is None


def test_certificate_on_too_few_samples_says_how_many_are_needed() -> None:
    result = certify(1, lambda number: np.zeros(100), 0.02, 0.95)
    assert result.num_passed == 0
    assert result.units_needed == 149


@pytest.mark.parametrize(("max_drop", "confidence"), [(0.0, 0.9), (1.0, 0.9), (0.1, 1.0), (2, 0.9)])
def test_promise_out_of_range_is_refused(max_drop: float, confidence: float) -> None:
    with pytest.raises(MueError, match="is not between 0 and 1"):
        certify(1, lambda number: np.zeros(10), max_drop, confidence)


def test_path_ends_before_what_could_not_pass() -> None:
    assert path_of([4, 2, 9, 1], [0.0, 0.01, 0.2, 0.0], 0.1) == [4, 2]


def test_path_leaves_out_what_saves_less_and_loses_more() -> None:
    """Setting 7 loses 0.03, and 2 behind it saves more for 0.01: 7 stays only where 0.03 is safe."""
    order, losses = [5, 7, 2, 8], [0.005, 0.03, 0.01, 0.04]
    assert without_detours(order, losses, 0.02) == [5, 2, 8]
    assert without_detours(order, losses, 0.03) == order


def test_suitability_by_hand() -> None:
    """One encoder stream and a decoder of two layers each: leaving at (1, 1) saves 1/2, at (1, 2) or
    (2, 1) 1/4. Sample a may leave at (1, 1), b at (2, 1) alone: the oracle saves (1/2 + 1/4) / 2.
    Fixed layers that keep both right: (2, 1).
    """
    right = np.array([[[1, 0], [1, 1]], [[0, 0], [1, 1]]])
    table = ExitTable({"joint": np.zeros((2, 2))}, np.zeros((2, 2, 2)), 100.0 * right)
    result = suitability(table, right > 0, np.array([0.0, 0.3, 0.4]), np.array([100.0, 99.5, 98.0]))
    assert result.oracle == pytest.approx(0.375)
    assert result.static == pytest.approx(0.25)
    assert result.searched == pytest.approx(0.3)
    assert "37.5% with every answer unchanged" in result.in_words("mue")
