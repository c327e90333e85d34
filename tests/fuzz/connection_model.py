"""A hypothesis state machine of clients on raw connections to a server in another process."""

from __future__ import annotations

import http.client
import itertools
import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    rule,
    run_state_machine_as_test,
)

from tests.fuzz.counts import Counts
from tests.fuzz.messages import FATAL, Kind, Message, gets, posts
from tests.fuzz.raw_client import RawClient
from tests.server import RunningServer

# Short times and small sizes, so that a run reaches every limit.
SETTINGS = {
    "max_prime": "200",
    "max_length": "3000",
    "max_streams": "8",
    "max_queue": "8",
    "receive_seconds": "10",
}

_MAX_GROWTH = 64  # MB of the server's resident memory

_LAST = Message(
    "last",
    "GET",
    "GET /health/live HTTP/1.1\r\nX-Request-ID: {id}\r\nConnection: close\r\n\r\n",
    (200,),
    Kind.LAST,
)


@dataclass
class Seen:
    """Results of a run.

    Attributes:
        counts: the requests by the name of the message, and the responses by status.
        seconds: durations of the small requests that another client sent.
        megabytes: resident memory of the server before the run, and after each example.
    """

    counts: Counts = field(default_factory=Counts)
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        seconds = sorted(self.seconds) or [math.nan]
        middle, late = (1000 * seconds[int(len(seconds) * part)] for part in (0.5, 0.99))
        return (
            f"{self.counts}\n{len(self.seconds):,} requests of another client: "
            f"median {middle:.1f} ms, 99th percentile {late:.1f} ms, "
            f"longest {1000 * seconds[-1]:.1f} ms\nresident memory: {self.megabytes[0]:.0f} MB "
            f"before, {max(self.megabytes):.0f} MB at most, {self.megabytes[-1]:.0f} MB at the end"
        )


class ConnectionMachine(RuleBasedStateMachine):
    """Clients that send, abort, pipeline and split requests in any order.

    Every response must be well-formed, must not be a server error except 503 with Retry-After, and
    must have the id of its request. `machine` creates the subclass for one server.
    """

    server: ClassVar[RunningServer]
    port: ClassVar[int]
    seen: ClassVar[Seen]
    ids = itertools.count()

    clients = Bundle[RawClient]("clients")

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[RawClient] = []
        self.seen.counts.tries["sequences of actions"] += 1

    @rule(target=clients)
    def connect(self) -> RawClient:
        self.opened.append(RawClient(self.port))
        return self.opened[-1]

    @rule(client=clients, message=gets() | posts())
    def ask(self, client: RawClient, message: Message) -> None:
        if not client.ended:
            self.seen.counts.tries[message.name] += 1
        client.ask(message, f"fuzz-{next(self.ids)}")

    @rule(client=clients, message=gets() | posts(), times=st.integers(2, 60))
    def pipeline(self, client: RawClient, message: Message, times: int) -> None:
        for _ in range(times):
            self.ask(client, message)

    @rule(client=clients, message=st.sampled_from(FATAL))
    def ask_what_is_refused(self, client: RawClient, message: Message) -> None:
        self.ask(client, message)

    @rule(client=clients, sizes=st.lists(st.integers(1, 200), min_size=1, max_size=20))
    def send_pieces(self, client: RawClient, sizes: list[int]) -> None:
        for size in sizes:
            client.send(size)

    @rule(client=clients)
    def send_all(self, client: RawClient) -> None:
        client.send(len(client.outgoing))

    @rule(client=clients)
    def read(self, client: RawClient) -> None:
        client.read()

    @rule(client=consumes(clients), resets=st.booleans())
    def leave(self, client: RawClient, resets: bool) -> None:
        if resets:
            client.reset()
        else:
            client.half_close()

    @rule()
    def ask_as_another_client(self) -> None:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/generate?length=1&seed=1")
        with closing(connection), connection.getresponse() as response:
            assert response.status == 200, response.read()
            response.read()
        self.seen.seconds.append(time.monotonic() - began)

    def teardown(self) -> None:
        for client in self.opened:
            if not client.ended:
                self.ask(client, _LAST)
            self.seen.counts.results.update(str(found.status) for found in client.finish())
        self.ask_as_another_client()
        self.seen.megabytes.append(_megabytes(self.server))
        assert self.seen.megabytes[-1] < self.seen.megabytes[0] + _MAX_GROWTH, "the memory grows"
        assert not any("Traceback" in line for line in self.server.lines)


def machine(server: RunningServer) -> type[ConnectionMachine]:
    """Return the state machine for a server."""
    seen, port = Seen(megabytes=[_megabytes(server)]), urlsplit(server.url).port
    attributes = {"server": server, "port": port, "seen": seen}
    return type("RunningMachine", (ConnectionMachine,), attributes)


def _megabytes(server: RunningServer) -> float:
    return server.gauge("process_resident_memory_bytes") / 2**20


def run(
    of: type[ConnectionMachine], examples: int, steps: int = 30, repeatable: bool = False
) -> None:
    """Run a machine with new random choices, or with the same ones every time.

    Raises:
        AssertionError: if the server misbehaves. Hypothesis prints the shortest sequence of actions
            that it found.
    """
    run_state_machine_as_test(
        of,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=repeatable,
            suppress_health_check=list(HealthCheck),
        ),
    )
