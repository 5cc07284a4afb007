"""trainer.parallel: order, errors in their place, and how far it reads ahead."""

import threading

import pytest

from trainer import parallel
from trainer.parallel import map_in_order


@pytest.mark.parametrize("num_cores", [1, 2, 7])
def test_results_come_in_the_order_of_the_items(monkeypatch, num_cores):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: num_cores)
    is_last_done = threading.Event()

    def square(number):
        # The first of two that run side by side ends last.
        if number == 49:
            is_last_done.set()
        elif number == 48 and num_cores > 1:
            assert is_last_done.wait(60)
        return number * number

    assert list(map_in_order(square, range(50))) == [n * n for n in range(50)]


def test_nothing_comes_of_nothing():
    assert list(map_in_order(str, [])) == []


def numbers_then_error():
    yield from range(3)
    raise ValueError("no fourth item")


def fail_at_three(number):
    if number == 3:
        raise ValueError("three")
    return number


@pytest.mark.parametrize(
    ("function", "items", "message"),
    [(int, numbers_then_error(), "no fourth item"), (fail_at_three, range(100), "three")],
)
def test_an_error_comes_after_the_results_before_it(function, items, message):
    results = map_in_order(function, items)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match=message):
        next(results)


def test_reads_ahead_by_two_items_more_than_there_are_threads(monkeypatch):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 3)
    taken = []
    results = map_in_order(int, (taken.append(n) or n for n in range(100)))
    assert taken == []
    assert next(results) == 0
    assert taken == [0, 1, 2, 3, 4]
    results.close()
    assert len(taken) == 5


def test_stages_share_the_threads(monkeypatch):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 2)
    threads = set()

    def add_one(number):
        threads.add(threading.current_thread().name)
        return number + 1

    numbers = range(200)
    for _ in range(4):
        numbers = map_in_order(add_one, numbers)
    assert list(numbers) == list(range(4, 204))
    assert len(threads) <= 2


def test_nothing_runs_on_after_the_caller_stopped(monkeypatch):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 2)
    may_end, begun, ended = threading.Event(), [], []

    def work(number):
        begun.append(number)
        assert number == 0 or may_end.wait(60)
        ended.append(number)

    results = map_in_order(work, range(100))
    next(results)
    threading.Timer(0.1, may_end.set).start()
    results.close()
    assert sorted(ended) == sorted(begun)
    assert len(begun) <= 4
