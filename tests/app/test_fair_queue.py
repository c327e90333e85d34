"""The queue in which clients take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from hypothesis import given
from hypothesis import strategies as st

from app.fair_queue import FairQueue

_clients = st.integers(0, 4)
_arrivals = st.lists(_clients, max_size=40)


def taken_from(
    queue: FairQueue[tuple[int, int]], busy: Container[int] = ()
) -> tuple[int, int] | None:
    """The next item, which must be taken for its own client."""
    if (taken := queue.take(busy)) is None:
        return None
    client, item = taken
    assert client == item[0]
    return item


def filled(arrivals: list[int]) -> FairQueue[tuple[int, int]]:
    """A queue of items (client, number), where the numbers count the arrivals."""
    queue: FairQueue[tuple[int, int]] = FairQueue()
    for number, client in enumerate(arrivals):
        queue.add(client, (client, number))
    return queue


@given(_arrivals)
def test_the_items_of_a_client_keep_their_order_and_no_client_waits_for_two_of_another(
    arrivals: list[int],
) -> None:
    queue = filled(arrivals)
    taken = [item for _ in arrivals if (item := taken_from(queue)) is not None]
    assert queue.take() is None
    for client in set(arrivals):
        own = [number for number, item in enumerate(taken) if item[0] == client]
        assert [taken[number] for number in own] == sorted(taken[number] for number in own)
        for before, after in zip([-1, *own], own, strict=False):
            between = Counter(item[0] for item in taken[before + 1 : after])
            assert max(between.values(), default=0) <= 1


@given(_arrivals, st.sets(_clients), _clients)
def test_busy_clients_keep_their_turns(arrivals: list[int], busy: set[int], later: int) -> None:
    queue = filled(arrivals)
    while (item := taken_from(queue, busy)) is not None:
        assert item[0] not in busy
    assert {client for client in range(5) if queue.count(client)} == busy & set(arrivals)
    newest = later, len(arrivals)
    queue.add(later, newest)
    left = [(client, number) for number, client in enumerate(arrivals) if client in busy]
    assert taken_from(queue) == (left[0] if left else newest)


@given(_arrivals, st.lists(_clients, max_size=40))
def test_clients_that_make_room_for_themselves_share_a_full_queue_equally(
    arrivals: list[int], newcomers: list[int]
) -> None:
    queue = filled(arrivals)
    counts = Counter(arrivals)
    for number, client in enumerate(newcomers, len(arrivals)):
        displaced = queue.take_newest(client)
        if displaced is None:
            assert max(counts.values(), default=0) <= counts[client] + 1
            continue
        owner, newest = displaced
        assert counts[owner] == max(counts.values()) >= counts[client] + 2
        assert all(item[1] < newest for item in queue._items[owner])
        queue.add(client, (client, number))
        counts.subtract([owner])
        counts.update([client])
    assert {client: queue.count(client) for client in counts} == counts


def test_an_item_that_is_discarded_is_not_taken() -> None:
    queue = filled([0, 0, 1])
    for item in ((0, 0), (0, 9), (1, 2)):
        queue.discard(item)
    assert queue.count(0) == 1
    assert [queue.take(), queue.take()] == [(0, (0, 1)), None]


@given(_arrivals, st.lists(st.tuples(_clients, st.integers(0, 39)), max_size=40))
def test_an_item_is_never_taken_later_because_others_wait_for_it_too(
    arrivals: list[int], joins: list[tuple[int, int]]
) -> None:
    """It is taken for the first of its clients that has its turn, and only once."""
    expected = [item for _, item in iter(filled(arrivals).take, None)]
    queue = filled(arrivals)
    for client, number in joins:
        if number < len(arrivals):
            queue.add(client, (arrivals[number], number))
    taken = [item for _, item in iter(queue.take, None)]
    assert sorted(taken) == sorted(expected)
    assert not any(queue.count(client) for client in range(5))
    if joins and joins[0][1] < len(arrivals):
        joined = arrivals[joins[0][1]], joins[0][1]
        queue = filled(arrivals)
        queue.add(joins[0][0], joined)
        position = [item for _, item in iter(queue.take, None)].index(joined)
        assert position <= expected.index(joined)


def test_clients_that_wait_for_the_same_items_make_room_too() -> None:
    queue = filled([0] * 5)
    for number in range(5):
        queue.add(1, (0, number))
    assert queue.take_newest(2) == (0, 4)
    assert [queue.count(client) for client in (0, 1)] == [4, 4]


def test_an_item_makes_no_room_if_a_client_with_few_items_waits_for_it() -> None:
    queue = filled([0, 0, 0])
    queue.add(1, (0, 2))
    assert queue.take_newest(2) == (0, 1)
    assert queue.take_newest(2) == (0, 0) if queue.count(0) >= 2 else True
