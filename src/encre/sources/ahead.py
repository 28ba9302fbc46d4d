"""Several items of work under way at once, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(
    work: Callable[[Given], Made], items: Iterable[Given], *, workers: int, stop: Callable[[], object] | None = None
) -> Iterator[Made]:
    """The results of ``work`` in the order of the items; what fails is raised in that order too.

    Parameters
    ----------
    work
        Called in threads.
    items
        Taken as they are needed: no more than ``workers`` + 1 are begun and not yet handed on.
    workers
        Threads; 1 does one item after the other.
    stop
        Called on Ctrl-C, before the work that is under way is waited for.
    """
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except KeyboardInterrupt:
        if stop is not None:
            stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
