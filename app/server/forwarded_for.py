"""X-Forwarded-For: reduce the header to the IP addresses at its end."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

_NAME = b"x-forwarded-for"
_MAX_HOPS = 32
# [::1], [::1]:80, 1.2.3.4, 1.2.3.4:80 or ::1. No zone (after %): it may have any length, and means
# nothing on another machine.
_HOP = re.compile(r"\[([^]%]*)](?::[0-9]{0,5})?|([^:%]*)(?::[0-9]{0,5})?|([^%]*)")


def keep_addresses(headers: list[tuple[bytes, bytes]]) -> None:
    """Reduce X-Forwarded-For to the IP addresses at its end, in place.

    A trusted proxy appends the address of its own client. So the header is read from the right,
    up to the first entry that is not an address: a client has made up that entry and everything
    before it. Addresses become canonical and lose their ports, so that one client has one name.

    Args:
        headers: the headers of a request, with names in lower case. Several X-Forwarded-For
            headers become one.
    """
    values = [value for name, value in headers if name == _NAME]
    if not values:
        return
    headers[:] = [(name, value) for name, value in headers if name != _NAME]
    addresses = list(_last_addresses(b",".join(values).decode("latin-1")))
    if addresses:
        headers.append((_NAME, ", ".join(reversed(addresses)).encode("ascii")))


def _last_addresses(value: str) -> Iterator[str]:
    """Yield the addresses at the end of a comma-separated list, beginning with the last one."""
    hops = value.rsplit(",", _MAX_HOPS)
    for hop in reversed(hops[-_MAX_HOPS:]):
        address = _address(hop.strip(" \t"))
        if address is None:
            return
        yield address


def _address(hop: str) -> str | None:
    """Return the canonical address, or None."""
    match = _HOP.fullmatch(hop)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match[1] or match[2] or match[3] or "")
    except ValueError:
        return None
    # An IPv4 client has one name, also behind a proxy that listens on IPv6.
    return str(getattr(address, "ipv4_mapped", None) or address)
