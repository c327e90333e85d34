"""PatternCache: compiles patterns in one thread, and keeps the results."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from model.errors import PatternError
from model.patterns.pattern import Pattern, compile_pattern
from model.text.vocabulary import Vocabulary

_MAX_ENTRIES = 16  # of at most a megabyte each

_Key = tuple[str, frozenset[int]]  # the expression, and the ids of banned characters
_Result = Pattern | str  # a pattern, or the message of an error


class PatternCache:
    """The compiled patterns of one model. Belongs to the event loop.

    Patterns that cannot be compiled are kept too, with the error. The least recently used entry is
    evicted first.

    A compilation takes a few tens of milliseconds at most. At most one pattern of each client waits
    for the thread, so a client waits for its own patterns and for one pattern of each other client.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: OrderedDict[_Key, _Result] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "pattern")
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self.waiting = 0  # number of calls of `get` that wait for a pattern

    async def get(
        self, expression: str, banned: frozenset[int] = frozenset(), client: Hashable = None
    ) -> Pattern:
        """Return the pattern of an expression for texts without the characters of `banned` ids.

        Raises what `compile_pattern` raises.
        """
        key = expression, banned
        if key not in self._entries:
            self.waiting += 1
            try:
                async with self._turns.setdefault(client, asyncio.Lock()):
                    if key not in self._entries:
                        self._entries[key] = await asyncio.get_running_loop().run_in_executor(
                            self._thread, self._compile, *key
                        )
                        if len(self._entries) > _MAX_ENTRIES:
                            self._entries.popitem(last=False)
            finally:
                self.waiting -= 1
        self._entries.move_to_end(key)
        result = self._entries[key]
        if isinstance(result, str):
            raise PatternError(result)
        return result

    def _compile(self, expression: str, banned: frozenset[int]) -> _Result:
        try:
            return compile_pattern(expression, self._vocabulary, banned)
        except PatternError as error:
            return str(error)
