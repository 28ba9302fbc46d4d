"""Work ahead in threads: order, bounds, failures and Ctrl-C."""

from __future__ import annotations

import threading
import time

import pytest

from encre.sources.ahead import in_order


def test_results_come_in_the_order_of_the_items():
    def work(number: int) -> int:
        time.sleep(0.01 if number % 2 == 0 else 0)
        return number * number

    assert list(in_order(work, range(9), workers=3)) == [n * n for n in range(9)]


def test_no_more_is_begun_than_a_few_ahead():
    begun = []
    results = in_order(lambda n: begun.append(n) or n, range(100), workers=2)
    assert next(results) == 0
    results.close()
    assert len(begun) <= 3


def test_the_first_failure_in_order_is_the_one_that_is_raised():
    def work(number: int) -> int:
        if number == 1:
            time.sleep(0.02)
        if number in (1, 2):
            raise ValueError(f"item {number}")
        return number

    with pytest.raises(ValueError, match="item 1"):
        list(in_order(work, range(4), workers=4))


def test_ctrl_c_stops_the_work_before_it_is_waited_for():
    stopped = threading.Event()

    def work(number: int) -> int:
        if number:
            assert stopped.wait(5)
            return number
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, range(2), workers=2, stop=stopped.set))
    assert stopped.is_set()
