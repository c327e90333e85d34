"""PrefixCache: recurrent states after texts that were read, so that no text is read twice."""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections import Counter, OrderedDict

from model.backend import DecoderState
from model.vocabulary import Ids

_ENTRY_BYTES = 400  # overhead of an entry in addition to its tensors


class PrefixCache:
    """Maps a hash of the characters read to the state after them.

    When the cache is full, the least recently used entry is evicted.

    The state of an LSTM has a fixed size: a hit after 10,000 characters costs as much memory as
    one after 10. Not thread-safe.

    Args:
        limit: maximum size of all entries in bytes. 0 disables the cache.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[bytes, tuple[int, DecoderState]] = OrderedDict()
        self._count_by_length: Counter[int] = Counter()
        self._lengths: list[int] = []  # distinct lengths of the entries, ascending
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def put(self, ids: Ids, state: DecoderState) -> None:
        """Store the state after the network has read `ids`."""
        size = _size(state)
        if size > self._limit or len(ids) == 0:
            return
        key = hashlib.blake2b(ids.tobytes(), digest_size=16).digest()
        if key in self._states:
            self._states.move_to_end(key)
            return
        self._states[key] = (len(ids), state)
        self._count_by_length[len(ids)] += 1
        if self._count_by_length[len(ids)] == 1:
            insort(self._lengths, len(ids))
        self.bytes += size
        while self.bytes > self._limit:
            self._drop_oldest()

    def longest(self, ids: Ids) -> tuple[int, DecoderState | None]:
        """Return the length of the longest cached prefix of `ids`, and the state after it.

        The prefix never includes the last id, because the network must read it to predict the next
        character. The time is linear in the length of `ids` and in the number of distinct cached
        lengths.

        Returns:
            (0, None) if no prefix is cached.
        """
        content, hashed = memoryview(ids.tobytes()), 0
        digest = hashlib.blake2b(digest_size=16)
        found: tuple[int, DecoderState | None] = (0, None)
        found_key = b""
        for length in self._lengths[: bisect_right(self._lengths, len(ids) - 1)]:
            digest.update(content[hashed * ids.itemsize : length * ids.itemsize])
            hashed = length
            key = digest.copy().digest()
            if key in self._states:
                found, found_key = self._states[key], key
        if found_key:
            self._states.move_to_end(found_key)
        return found

    def _drop_oldest(self) -> None:
        _, (length, state) = self._states.popitem(last=False)
        self.bytes -= _size(state)
        self._count_by_length[length] -= 1
        if self._count_by_length[length] == 0:
            del self._count_by_length[length]
            self._lengths.remove(length)


def _size(state: DecoderState) -> int:
    return int(state.hidden.nbytes + state.cell.nbytes) + _ENTRY_BYTES
