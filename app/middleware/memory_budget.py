"""MemoryBudget: the one limit on what the requests of all clients make the server hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from app.errors import OverloadedError

SMALL = 16 << 10  # bytes; requests up to this size do not count, so that large ones leave them room
_MAX_SHARE = 3 / 4  # of the budget, for one client


class MemoryBudget:
    """Leases memory to requests, before anything is computed for them.

    A lease has the most bytes that a request can need. So a request that was accepted never fails
    for lack of memory, and a client that does not read its response holds no more than its lease.

    Args:
        limit: number of bytes that may be leased in total.

    Attributes:
        leased: number of bytes that are leased.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self.leased = limit, 0
        self._leased_by: Counter[Hashable] = Counter()

    def change(self, client: Hashable, before: int, size: int) -> None:
        """Lease `size` bytes to a client in place of `before` bytes.

        Raises:
            OverloadedError: if the budget, or the client's share of it, has no room.
        """
        if (more := size - before) > 0:
            if self._leased_by[client] + more > (share := self._limit * _MAX_SHARE):
                raise OverloadedError(size, f"the limit of {share / 2**20:.1f} MiB per client")
            if self.leased + more > self._limit:
                raise OverloadedError(size, "other requests")
        self.leased += more
        self._leased_by[client] += more
        if not self._leased_by[client]:
            del self._leased_by[client]


class Lease:
    """The memory of one request. It grows when more is known about the request.

    Args:
        budget: leases the memory.

    Attributes:
        client: who gets it: the digest of a key, or an address. None is not known.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.client: Hashable = None
        self._needed = self._leased = 0

    def add(self, size: int) -> None:
        """Lease `size` bytes more.

        Raises:
            OverloadedError: if there is no room. The lease keeps what it had.
        """
        needed = self._needed + size
        leased = needed if needed > SMALL else 0
        self._budget.change(self.client, self._leased, leased)
        self._needed, self._leased = needed, leased

    def release(self) -> None:
        """Give the memory back."""
        self._budget.change(self.client, self._leased, 0)
        self._needed = self._leased = 0
