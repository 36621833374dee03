"""Which addresses of the internet anybody may be sent to. Pure: no look-up, no connection."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# `is_global` of the standard library is another answer in every version of Python (3.11.7 says yes to 64:ff9b::7f00:1,
# 2002:7f00:1::, ::127.0.0.1, fec0::1, 192.0.0.8 and to multicast), so the rules stand here.
# IANA, "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry", 2025.
PRIVATE_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared among a carrier's customers
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # in Azure the host itself, public by its number only
        "169.254.0.0/16",  # link-local, among them the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

GLOBAL_IPV6 = IPv6Network("2000::/3")
"""All that is assigned to hosts on the internet. What leads to an IPv4 address by another spelling (mapped, compatible,
64:ff9b::/96 and 64:ff9b:1::/48 of NAT64) lies outside, as do loopback, link-local, site-local, unique local and
multicast."""

PRIVATE_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which leads to an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which leads to an IPv4 address
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether an address is one that everybody on the internet reaches the same host at."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in PRIVATE_IPV4)
    return address in GLOBAL_IPV6 and not any(address in network for network in PRIVATE_IPV6)


def address_of(host: str) -> Address | None:
    """The address that a host is spelled as, the plain way; None if it is a name.

    Raises:
        ValueError: It has a zone ("fe80::1%eth0"), or is a number that looks like a name, which the system would take
            for an address ("2130706433", "0x7f.1", "0177.0.0.1", "127.1").
    """
    if "%" in host:
        raise ValueError(f"{host!r} has a zone")
    try:
        return ip_address(host)
    except ValueError:
        # No name ends in a number (url.spec.whatwg.org, "ends in a number checker").
        last = host.rstrip(".").rsplit(".", 1)[-1].lower()
        if last.isdecimal() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:])):
            raise
        return None
