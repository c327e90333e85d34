"""PatternCache: compiles patterns in threads, and keeps the results.

Clients choose the patterns, so the compilation leaves most of the time to the texts that run: after
each millisecond of work, a thread sleeps for several. All threads together work for less than 5% of
the time. So a compilation waits until it is its turn, instead of sharing this time with all others:
a worst-case pattern takes half a second alone, and 64 of them at once would all take too long.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.errors import DrainingError, TooManyPatternsError
from app.fair_queue import FairQueue
from model.errors import PatternError
from model.patterns.pattern import Pattern, compile_pattern
from model.text.vocabulary import Vocabulary

_MAX_BYTES = 16 * 2**20
_ENTRY_BYTES = 1000  # overhead of an entry, in addition to its expression and its arrays
_MAX_THREADS = 4  # one per client, so that the patterns of one client do not delay the others'
_REST = 20  # seconds to sleep for each second of work, times the number of working threads
_MIN_WORK = 0.001  # seconds after which a thread sleeps
_MAX_SLEEP = 0.1  # seconds, before a thread checks whether somebody still waits
_MAX_COMPILATIONS = 64  # that run or wait for a thread
_MAX_KEPT = 64 << 20  # bytes that the requests which wait for patterns keep together
_MAX_SHARE = 3 / 4  # of these, for one client
_SMALL = 16 << 10  # bytes that do not count of each request
_MAX_SECONDS = 10.0  # that a request waits; a single compilation takes less than a second
_SMOOTHING = 0.2  # weight of the newest measurement of a compilation's duration

_Key = tuple[str, frozenset[int]]  # the expression, and the ids of banned characters
_Result = Pattern | str  # a pattern, or the message of an error


@dataclass(eq=False)
class _Compilation:
    """A pattern that waits for its turn or is being compiled.

    Attributes:
        key: what to compile.
        result: the result. None if the compilation did not take place.
        waiters: number of requests that wait for it. Threads read it.
        began: time at which a thread began.
    """

    key: _Key
    result: asyncio.Future[_Result | None]
    waiters: int = 0
    began: float = 0.0


class _AbandonedError(Exception):
    """Nobody waits for the pattern any more."""


class PatternCache:
    """The compiled patterns of one model, bounded in bytes. Belongs to the event loop.

    Patterns that cannot be compiled are kept too, with the error. The least recently used entry is
    evicted first. A compilation ends soon after the last request that waits for it.

    One pattern of each client is compiled at a time, in the order of arrival, and the clients take
    turns. If too many patterns wait, the client that has most of them loses its newest one.

    Args:
        vocabulary: the characters of the model.
        most_bytes: maximum size of all entries.
    """

    def __init__(self, vocabulary: Vocabulary, most_bytes: int = _MAX_BYTES) -> None:
        self._vocabulary, self._most_bytes = vocabulary, most_bytes
        self._entries: OrderedDict[_Key, _Result] = OrderedDict()
        self._compilations: dict[_Key, _Compilation] = {}  # those that somebody waits for
        self._queue: FairQueue[_Compilation] = FairQueue()
        self._running: dict[Hashable, _Compilation] = {}  # by client; threads read the length
        self._threads = ThreadPoolExecutor(_MAX_THREADS, "pattern")
        self._seconds = 0.0  # that a compilation takes, if no other one runs
        self._closed = False
        self._kept: Counter[Hashable] = Counter()  # bytes of the requests that wait, by client
        self.waiting = 0  # number of calls of `get` that wait for a pattern
        self.bytes = 0

    async def get(
        self,
        expression: str,
        banned: frozenset[int] = frozenset(),
        client: Hashable = None,
        kept: int = 0,
    ) -> Pattern:
        """Return the pattern of an expression. Raises what `compile_pattern` raises.

        Args:
            expression: a regular expression.
            banned: ids of characters that the text must not have.
            client: who asks, see `middleware.auth.current_client`.
            kept: bytes that the request keeps while it waits.

        Raises:
            TooManyPatternsError: if too many other patterns are being compiled, or the requests
                that wait for patterns keep too much.
            DrainingError: if the service is shutting down.
        """
        key = expression, banned
        if key in self._entries:
            self._entries.move_to_end(key)
            result = self._entries[key]
        else:
            result = await self._compiled(key, client, max(0, kept - _SMALL))
        if isinstance(result, str):
            raise PatternError(result)
        return result

    def close(self) -> None:
        """Abandon all compilations. Requests that wait get a DrainingError; threads end soon."""
        self._closed = True  # a thread that notices it ends, and `_finish` ends those that wait
        self._threads.shutdown(wait=False)

    async def _compiled(self, key: _Key, client: Hashable, kept: int) -> _Result:
        self._check_kept(client, kept)
        compilation = self._join(key, client)
        self._count(client, kept, 1)
        compilation.waiters += 1
        self._start()
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                result = await asyncio.shield(compilation.result)
        except TimeoutError as error:
            reason = f"the pattern was not compiled within {_MAX_SECONDS:.0f} s, because others"
            raise self._too_many(f"{reason} came first") from error
        finally:
            self._count(client, -kept, -1)
            self._leave(compilation)
        if result is None:
            raise DrainingError if self._closed else self._full(client)
        return result

    def _check_kept(self, client: Hashable, kept: int) -> None:
        """Raise TooManyPatternsError if the requests that wait would keep too much.

        A request is never refused if no other one keeps anything that counts.
        """
        own, total = self._kept[client], self._kept.total()
        if kept and own and own + kept > _MAX_KEPT * _MAX_SHARE:
            raise self._too_many("too many large requests of this client are waiting for patterns")
        if kept and total and total + kept > _MAX_KEPT:
            raise self._too_many("too many large requests are waiting for patterns")

    def _count(self, client: Hashable, kept: int, requests: int) -> None:
        self.waiting += requests
        self._kept[client] += kept
        if not self._kept[client]:
            del self._kept[client]

    def _join(self, key: _Key, client: Hashable) -> _Compilation:
        """Return the compilation of a key. Add it to what the client waits for."""
        if key not in self._compilations:
            if self._closed:
                raise DrainingError
            if len(self._compilations) >= _MAX_COMPILATIONS:
                self._make_room(client)
            result = asyncio.get_running_loop().create_future()
            self._compilations[key] = _Compilation(key, result)
        compilation = self._compilations[key]
        if compilation not in self._running.values():
            self._queue.add(client, compilation)
        return compilation

    def _make_room(self, client: Hashable) -> None:
        """Take the place of a client that has more. Raise TooManyPatternsError if there is none."""
        displaced = self._queue.take_newest(client)
        if displaced is None:
            raise self._full(client)
        self._end(displaced, None)

    def _leave(self, compilation: _Compilation) -> None:
        """End a compilation if nobody waits for it. A thread that computes it notices later."""
        compilation.waiters -= 1
        if not compilation.waiters and not compilation.result.done():
            self._end(compilation, None)

    def _end(self, compilation: _Compilation, result: _Result | None) -> None:
        del self._compilations[compilation.key]
        self._queue.discard(compilation)
        compilation.result.set_result(result)

    def _end_all(self) -> None:
        for compilation in list(self._compilations.values()):
            self._end(compilation, None)

    def _start(self) -> None:
        """Start the next compilations while threads are free."""
        loop = asyncio.get_running_loop()
        while len(self._running) < _MAX_THREADS and (taken := self._queue.take(self._running)):
            client, first = taken
            self._running[client] = first
            first.began = time.monotonic()
            try:
                running = loop.run_in_executor(self._threads, self._compile, first)
            except RuntimeError:  # `close` has shut the threads down
                del self._running[client]
                self._end_all()
                break
            running.add_done_callback(functools.partial(self._finish, client))

    def _finish(self, client: Hashable, done: asyncio.Future[_Result | None]) -> None:
        """Pass on the result of a client's turn, and start the next compilation."""
        working = len(self._running)
        compilation = self._running.pop(client)
        if not compilation.result.done():
            if (error := done.exception()) is not None:
                del self._compilations[compilation.key]
                compilation.result.set_exception(error)
            elif (result := done.result()) is not None:
                seconds = (time.monotonic() - compilation.began) / working
                self._seconds += _SMOOTHING * (seconds - self._seconds)
                self._store(compilation.key, result)
                self._end(compilation, result)
        self._start()
        if self._closed:
            self._end_all()

    def _compile(self, compilation: _Compilation) -> _Result | None:
        """Compile in a thread. Return the message of an error, or None if nobody waits."""
        expression, banned = compilation.key
        pause = _pauses(lambda: self._rest_factor(compilation))
        try:
            result = self._result(expression, banned)
            pause()
        except _AbandonedError:
            return None
        return result

    def _result(self, expression: str, banned: frozenset[int]) -> _Result:
        try:
            return compile_pattern(expression, self._vocabulary, banned)
        except PatternError as error:
            return str(error)

    def _rest_factor(self, compilation: _Compilation) -> int:
        if self._closed or not compilation.waiters:
            raise _AbandonedError
        return max(1, len(self._running))

    def _full(self, client: Hashable) -> TooManyPatternsError:
        own = self._queue.count(client) + (client in self._running)
        return self._too_many(
            f"{len(self._compilations)} patterns are being compiled or waiting, {own} of them from "
            f"this client; the limit is {_MAX_COMPILATIONS}"
        )

    def _too_many(self, reason: str) -> TooManyPatternsError:
        """Return an error. After `_MAX_SECONDS`, none of those that wait now wait any longer."""
        seconds = len(self._compilations) * self._seconds
        return TooManyPatternsError(reason, max(1.0, min(seconds, _MAX_SECONDS)))

    def _store(self, key: _Key, result: _Result) -> None:
        self.bytes += _size(key, result)
        self._entries[key] = result
        while self.bytes > self._most_bytes:
            self.bytes -= _size(*self._entries.popitem(last=False))


def _pauses(running: Callable[[], int]) -> Callable[[], None]:
    """Return a function that sleeps in proportion to the work since its last sleep.

    It calls `running` again and again while it sleeps, which may raise an exception. It does not
    sleep for less than a millisecond of work.
    """
    last = time.thread_time()

    def pause() -> None:
        nonlocal last
        worked = time.thread_time() - last
        if worked < _MIN_WORK:
            return
        rest = worked * _REST
        while rest > 0:
            factor = running()
            seconds = min(rest * factor, _MAX_SLEEP)
            time.sleep(seconds)
            rest -= seconds / factor
        last = time.thread_time()

    return pause


def _size(key: _Key, result: _Result) -> int:
    expression, banned = key
    arrays = 0 if isinstance(result, str) else result.bytes
    return _ENTRY_BYTES + 4 * len(expression) + 100 * len(banned) + arrays
