"""FairQueue: items that wait for clients. The clients take turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

_Item = TypeVar("_Item", bound=Hashable)


class FairQueue(Generic[_Item]):
    """A queue in which a client waits for its own items, and for one item of each other client.

    The items of a client keep their order. Several clients may wait for the same item, which takes
    the first of their turns.
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

    def discard(self, item: _Item) -> None:
        """Remove an item of all clients that wait for it."""
        for client, items in list(self._items.items()):
            items.pop(item, None)
            if not items:
                del self._items[client]

    def take(self, busy: Container[Hashable] = ()) -> tuple[Hashable, _Item] | None:
        """Remove the next item of the client whose turn it is. Return the client and the item.

        Clients in `busy` keep their turns. Returns None if no other client has an item.
        """
        for client, items in self._items.items():
            if client not in busy:
                item = next(iter(items))
                self._items.move_to_end(client)
                self.discard(item)
                return client, item
        return None

    def take_newest(self, client: Hashable) -> _Item | None:
        """Remove and return an item so that a client can add one, and nobody has less than it.

        An item is kept if a client waits for it that has fewer than two items more than `client`.
        Of the others, it is the newest of the client that has the most. Returns None if there is
        none.
        """
        enough = self.count(client) + 2
        owners = sorted(self._items, key=self.count, reverse=True)
        kept = {item for items in self._items.values() if len(items) < enough for item in items}
        for owner in owners:
            for item in reversed(self._items[owner]):
                if item not in kept:
                    self.discard(item)
                    return item
        return None
