"""PrefixCache: recurrent states after texts that were read, so that no text is read twice."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right, insort
from collections import Counter, OrderedDict

from model.decoding.backend import DecoderState
from model.text.vocabulary import Ids

Key = bytes  # the hash of the characters that were read

_MOST_LENGTHS = 500  # different lengths of the texts in a cache; a lookup then takes 0.25 ms
_ENTRY_BYTES = 400  # overhead of an entry in addition to its tensors


class _Entries(OrderedDict[tuple["PrefixCache", Key], int]):
    """The cache, the key and the size of entries, the least recently used one first."""

    bytes = 0  # the sum of the sizes


class CacheMemory:
    """The memory that the prefix caches of all models share.

    When it is full, the least recently used entry is evicted, whichever cache it is in. But
    states of streams with a memory, which are a hundred times as large, make room for each other
    as soon as they take more than half.

    Args:
        limit: maximum size of all entries in bytes. 0 disables the caches.

    Attributes:
        lock: guards all caches of this memory.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = threading.Lock()
        self._plain, self._with_memory = _Entries(), _Entries()

    @property
    def bytes(self) -> int:
        """Size of all entries in bytes."""
        return self._plain.bytes + self._with_memory.bytes

    def of(self, state: DecoderState) -> _Entries:
        """Return the entries among which that of a state is or belongs."""
        return self._plain if state.memory is None else self._with_memory

    def oldest(self) -> tuple[PrefixCache, Key]:
        """Return the cache and the key of the entry to evict next."""
        is_over_half = self._with_memory.bytes > self.limit // 2
        return next(iter(self._with_memory if is_over_half else self._plain))


class PrefixCache:
    """Maps a hash of the characters that a model has read to the state after them. Thread-safe.

    The state of an LSTM has a fixed size: a hit after 10,000 characters costs as much memory as
    one after 10.

    Args:
        memory: the memory to use, which several caches may share.

    Attributes:
        bytes: size of the entries in bytes.
    """

    def __init__(self, memory: CacheMemory) -> None:
        self._memory = memory
        # The length of the text and the state after it, the least recently used entry first.
        self._states: dict[Key, tuple[int, DecoderState]] = {}
        self._count_by_length: Counter[int] = Counter()
        self._lengths: list[int] = []  # distinct lengths of the entries, ascending
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def put(self, ids: Ids, state: DecoderState, owner: bytes = b"") -> None:
        """Store the state after the network has read `ids`, with the memory if it has one.

        Only lookups with the same `owner`, of up to 64 bytes, find it.
        """
        memory = self._memory
        size = state.nbytes + _ENTRY_BYTES
        if size > memory.limit or len(ids) == 0:
            return
        digest = _digest(state.memory is not None, owner)
        digest.update(ids.tobytes())
        key = digest.digest()
        with memory.lock:
            if key not in self._states:
                self._add(key, len(ids), state, size)
            self._use(key)
            while len(self._lengths) > _MOST_LENGTHS:
                self._drop(next(iter(self._states)))
            while memory.bytes > memory.limit:
                cache, oldest = memory.oldest()
                cache._drop(oldest)

    def longest(
        self, ids: Ids, with_memory: bool = False, owner: bytes = b""
    ) -> tuple[int, DecoderState | None]:
        """Return the length of the longest cached prefix of `ids`, and the state after it.

        States of streams with a memory are only for such streams, and those of an owner for it.

        The prefix never includes the last id, because the network must read it to predict the next
        character. The time is linear in the length of `ids`.

        Returns:
            (0, None) if no prefix is cached.
        """
        content, hashed = memoryview(ids.tobytes()), 0
        digest = _digest(with_memory, owner)
        found: tuple[int, DecoderState | None] = (0, None)
        found_key = b""
        with self._memory.lock:
            for length in self._lengths[: bisect_right(self._lengths, len(ids) - 1)]:
                digest.update(content[hashed * ids.itemsize : length * ids.itemsize])
                hashed = length
                key = digest.copy().digest()
                if key in self._states:
                    found, found_key = self._states[key], key
            if found_key:
                self._use(found_key)
        return found

    def clear(self) -> None:
        """Drop all entries."""
        with self._memory.lock:
            for key in list(self._states):
                self._drop(key)

    def _add(self, key: Key, length: int, state: DecoderState, size: int) -> None:
        self._states[key] = (length, state)
        self._count_by_length[length] += 1
        if self._count_by_length[length] == 1:
            insort(self._lengths, length)
        self.bytes += size
        entries = self._memory.of(state)
        entries.bytes += size
        entries[self, key] = size

    def _use(self, key: Key) -> None:
        """Make an entry the most recently used one."""
        entry = self._states[key] = self._states.pop(key)
        self._memory.of(entry[1]).move_to_end((self, key))

    def _drop(self, key: Key) -> None:
        length, state = self._states.pop(key)
        entries = self._memory.of(state)
        size = entries.pop((self, key))
        self.bytes -= size
        entries.bytes -= size
        self._count_by_length[length] -= 1
        if self._count_by_length[length] == 0:
            del self._count_by_length[length]
            self._lengths.remove(length)


def _digest(with_memory: bool, owner: bytes) -> hashlib.blake2b:
    person = b"memory" if with_memory else b""
    return hashlib.blake2b(digest_size=16, key=owner, person=person)
