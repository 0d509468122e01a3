"""Whose a connection is: what caps and throttles count by."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_OF_ONE = 64
"""Bits of an IPv6 address that name one network; one machine may use all the addresses below them."""


@lru_cache(maxsize=1024)
def caller_of(address: str) -> str:
    """The caller behind an IP address: the address itself, of IPv6 its /64; other text as it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((found, _OF_ONE), strict=False))
    return str(found)
