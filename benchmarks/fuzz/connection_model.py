"""A hypothesis state machine of clients on raw connections to a server in another process."""

from __future__ import annotations

import http.client
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    rule,
    run_state_machine_as_test,
)

from benchmarks.fuzz.messages import FATAL, Kind, Message, gets, posts
from benchmarks.fuzz.raw_client import RawClient
from benchmarks.traffic import resident_megabytes

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
        examples: number of sequences of actions.
        requests: number of requests by the name of the message.
        statuses: number of responses by status.
        seconds: durations of the small requests that another client sent.
        before_megabytes: resident memory of the server before the run.
        peak_megabytes: highest resident memory of the server.
    """

    examples: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    before_megabytes: float = 0
    peak_megabytes: float = 0


class ConnectionMachine(RuleBasedStateMachine):
    """Clients that send, abort, pipeline and split requests in any order.

    Every response must be well-formed, must not be a server error except 503 with Retry-After, and
    must have the id of its request. `machine` creates the subclass for one server.
    """

    port: ClassVar[int]
    most_megabytes: ClassVar[float]
    seen: ClassVar[Seen]
    ids = itertools.count()

    clients = Bundle[RawClient]("clients")

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[RawClient] = []
        self.seen.examples += 1

    @rule(target=clients)
    def connect(self) -> RawClient:
        self.opened.append(RawClient(self.port))
        return self.opened[-1]

    @rule(client=clients, message=gets() | posts())
    def ask(self, client: RawClient, message: Message) -> None:
        if not client.ended:
            self.seen.requests[message.name] += 1
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
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
        connection.close()
        self.seen.seconds.append(time.monotonic() - began)

    def teardown(self) -> None:
        for client in self.opened:
            if not client.ended:
                self.ask(client, _LAST)
            self.seen.statuses.update(response.status for response in client.finish())
        self.ask_as_another_client()
        megabytes = resident_megabytes(self.port)
        self.seen.peak_megabytes = max(self.seen.peak_megabytes, megabytes)
        assert megabytes < self.most_megabytes, "the server's memory has grown"


def machine(port: int) -> type[ConnectionMachine]:
    """Return the state machine for the server on a port of this machine."""
    before = resident_megabytes(port)
    attributes = {
        "port": port,
        "most_megabytes": before + _MAX_GROWTH,
        "seen": Seen(before_megabytes=before, peak_megabytes=before),
    }
    return type("RunningMachine", (ConnectionMachine,), attributes)


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
