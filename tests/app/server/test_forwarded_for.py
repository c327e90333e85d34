"""X-Forwarded-For, reduced to addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import _TrustedHosts

from app.server.forwarded_for import keep_addresses


def kept(*values: str) -> str | None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", v.encode("latin-1")) for v in values)]
    keep_addresses(headers)
    assert headers[0] == (b"host", b"x")
    assert len(headers) <= 2
    return headers[1][1].decode() if len(headers) == 2 else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7:52000"], "203.0.113.7"),
        (["[2001:DB8::0:1]:443"], "2001:db8::1"),
        (["2001:0db8::0001"], "2001:db8::1"),
        (["203.0.113.7, 198.51.100.2"], "203.0.113.7, 198.51.100.2"),
        (["203.0.113.7", "198.51.100.2"], "203.0.113.7, 198.51.100.2"),
        (["invented, 203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1, invented, 203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, invented"], None),
        (["203.0.113.7,"], None),
        ([""], None),
        (["unknown"], None),
        (["x" * 60_000], None),
        (["203.0.113.7:" + "1" * 5000], None),
        (["203.0.113.7:\xb2"], None),
        (["fe80::1%" + "x" * 60_000], None),
        (["[::1"], None),
        (["[::1]8"], None),
        (["1.2.3.4.5"], None),
    ],
)
def test_addresses_at_the_end_are_kept(values: list[str], expected: str | None) -> None:
    assert kept(*values) == expected


def test_few_hops_are_kept_of_many() -> None:
    result = kept(", ".join(["203.0.113.7"] * 5000))
    assert result is not None
    assert 20 <= result.count("203.0.113.7") <= 50


@given(st.text(st.characters(max_codepoint=255)), st.ip_addresses())
def test_a_client_cannot_hide_behind_what_it_invents(
    invented: str, address: IPv4Address | IPv6Address
) -> None:
    """A proxy appends the client's address; uvicorn then takes that, whatever precedes it."""
    result = kept(f"{invented}, {address}")
    assert result is not None
    client = str(getattr(address, "ipv4_mapped", None) or address)
    assert _TrustedHosts("127.0.0.99").get_trusted_client_address(result)[0] == client


def test_an_ipv4_client_has_one_name() -> None:
    assert kept("::ffff:1.2.3.4") == kept("1.2.3.4") == "1.2.3.4"
