"""PatternCache: compiles patterns in threads, and keeps the results.

Clients choose the patterns, so the compilation leaves most of the time to the texts that run: after
each millisecond of work, a thread sleeps for several.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from app.errors import DrainingError, TooManyPatternsError
from model.errors import PatternError
from model.pattern import Pattern, compile_pattern
from model.vocabulary import Vocabulary
from model.work_limit import WorkLimit

_MOST_BYTES = 16 * 2**20
_ENTRY_BYTES = 1000  # overhead of an entry, in addition to its expression and its arrays
_MOST_THREADS = 32  # most of them sleep
_REST = 20  # seconds to sleep for each second of work, times the number of working threads
_MOST_COMPILATIONS = 64  # that run or wait for a thread
_MOST_SECONDS = 10.0  # that a request waits; a single compilation takes less than a second

_Key = tuple[str, frozenset[int]]  # the expression, and the ids of banned characters


class _AbandonedError(Exception):
    """Nobody waits for the pattern any more."""


class PatternCache:
    """The compiled patterns of one model, bounded in bytes. Belongs to the event loop.

    Patterns that cannot be compiled are kept too, with the error. The least recently used entry is
    evicted first. A compilation ends soon after the last request that waits for it.

    Args:
        vocabulary: the characters of the model.
        most_bytes: maximum size of all entries.
    """

    def __init__(self, vocabulary: Vocabulary, most_bytes: int = _MOST_BYTES) -> None:
        self._vocabulary, self._most_bytes = vocabulary, most_bytes
        self._entries: OrderedDict[_Key, Pattern | str] = OrderedDict()
        self._running: dict[_Key, asyncio.Future[Pattern | str]] = {}
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "pattern")
        self._working: set[_Key] = set()  # threads write it, too
        self._waiters: Counter[_Key] = Counter()
        self._closed = False
        self.bytes = 0

    async def get(self, expression: str, banned: frozenset[int] = frozenset()) -> Pattern:
        """Return the pattern of an expression. Raises what `compile_pattern` raises.

        Raises:
            TooManyPatternsError: if too many other patterns are being compiled.
            DrainingError: if the service is shutting down.
        """
        key = expression, banned
        self._waiters[key] += 1
        try:
            while (result := self._entries.get(key)) is None:
                with contextlib.suppress(_AbandonedError):  # by others, before this call
                    running = asyncio.shield(self._compiled(key))
                    result = await asyncio.wait_for(running, _MOST_SECONDS)
                    break
        except TimeoutError as error:
            raise TooManyPatternsError from error
        finally:
            self._waiters[key] -= 1
            if not self._waiters[key]:
                del self._waiters[key]
        if key in self._entries:
            self._entries.move_to_end(key)
        if isinstance(result, str):
            raise PatternError(result)
        return result

    @property
    def waiting(self) -> int:
        """Number of calls of `get` that have not returned."""
        return self._waiters.total()

    def close(self) -> None:
        """Abandon all compilations. Requests that wait get a DrainingError; threads end soon."""
        self._closed = True
        self._threads.shutdown(wait=False)

    def _compiled(self, key: _Key) -> asyncio.Future[Pattern | str]:
        """Return the result of the compilation that runs for this key. Start one if none does."""
        if key not in self._running:
            if self._closed:
                raise DrainingError
            if len(self._running) >= _MOST_COMPILATIONS:
                raise TooManyPatternsError
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, self._compile, key)
            self._running[key] = running
            running.add_done_callback(lambda done: self._store(key, done))
        return self._running[key]

    def _compile(self, key: _Key) -> Pattern | str:
        """Compile in a thread. Return the message of an error."""
        expression, banned = key
        self._working.add(key)
        try:
            self._check_wanted(key)
            work = WorkLimit(_pauses(lambda: self._rest_factor(key)))
            return compile_pattern(expression, self._vocabulary, banned, work)
        except PatternError as error:
            return str(error)
        finally:
            self._working.discard(key)

    def _rest_factor(self, key: _Key) -> int:
        self._check_wanted(key)
        return len(self._working)

    def _check_wanted(self, key: _Key) -> None:
        if self._closed or not self._waiters[key]:
            raise _AbandonedError

    def _store(self, key: _Key, done: asyncio.Future[Pattern | str]) -> None:
        del self._running[key]
        if done.cancelled() or done.exception() is not None:
            return
        result = done.result()
        self.bytes += _size(key, result)
        self._entries[key] = result
        while self.bytes > self._most_bytes:
            self.bytes -= _size(*self._entries.popitem(last=False))


def _pauses(running: Callable[[], int]) -> Callable[[], None]:
    """Return a function that sleeps in proportion to the work since its last call."""
    last = time.thread_time()

    def pause() -> None:
        nonlocal last
        worked = time.thread_time() - last
        time.sleep(worked * _REST * running())
        last = time.thread_time()

    return pause


def _size(key: _Key, result: Pattern | str) -> int:
    expression, banned = key
    arrays = 0 if isinstance(result, str) else result.bytes
    return _ENTRY_BYTES + 4 * len(expression) + 100 * len(banned) + arrays
