"""Work ahead of its taker: the same results in the same order, and never far ahead."""

import threading
import time

import pytest

from mue_cli.data.ahead import ahead


def test_results_come_in_order_however_long_each_takes() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return number * 2

    assert list(ahead(work, range(30), window=8, workers=4)) == list(range(0, 60, 2))


def test_only_a_little_is_taken_ahead_also_of_what_has_no_end() -> None:
    taken: list[int] = []

    def numbers():
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    results = ahead(lambda number: number * 2, numbers(), workers=3, window=5)
    assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
    assert len(taken) <= 10 + 5
    results.close()


def test_work_goes_on_while_the_taker_is_busy() -> None:
    done = threading.Event()
    results = ahead(
        lambda number: done.set() if number == 1 else None, range(3), window=2, workers=1
    )
    next(results)
    assert done.wait(5)
    results.close()


def test_an_error_comes_where_its_result_would() -> None:
    results = ahead(lambda number: 10 // (3 - number), range(6), window=4)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)
