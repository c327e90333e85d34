"""FairQueue: items that wait, each for a client. The clients take turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

_Item = TypeVar("_Item", bound=Hashable)


class FairQueue(Generic[_Item]):
    """A queue in which a client waits for its own items, and for one item of each other client.

    The items of a client keep their order. Each item is in the queue once.
    """

    def __init__(self) -> None:
        # The clients that have items, in the order of their turns.
        self._items: OrderedDict[Hashable, OrderedDict[_Item, None]] = OrderedDict()

    def count(self, client: Hashable) -> int:
        """Return the number of items of a client."""
        return len(self._items.get(client, ()))

    def add(self, client: Hashable, item: _Item) -> None:
        """Add an item as the last one of its client."""
        self._items.setdefault(client, OrderedDict())[item] = None

    def discard(self, client: Hashable, item: _Item) -> None:
        """Remove an item of a client if it is in the queue."""
        items = self._items.get(client, OrderedDict())
        items.pop(item, None)
        if not items:
            self._items.pop(client, None)

    def take(self, busy: Container[Hashable] = ()) -> _Item | None:
        """Remove and return the next item of the client whose turn it is.

        Clients in `busy` keep their turns. Returns None if no other client has an item.
        """
        for client, items in self._items.items():
            if client not in busy:
                item = next(iter(items))
                self._items.move_to_end(client)
                self.discard(client, item)
                return item
        return None

    def take_newest(self, client: Hashable) -> _Item | None:
        """Remove and return an item so that a client can add one, and nobody has less than it.

        It is the newest item of the client that has the most. Returns None if no client has at
        least two items more than `client`.
        """
        longest = max(self._items, key=self.count, default=client)
        if self.count(longest) < self.count(client) + 2:
            return None
        item = next(reversed(self._items[longest]))
        self.discard(longest, item)
        return item
