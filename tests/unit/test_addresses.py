"""Which addresses and spellings of hosts are fetched from."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from lookalike.sources.addresses import address_of, is_public

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.167.1.1"),
    *("192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15"),
    *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e", "3ffe::1"),
]
NOT_PUBLIC = {
    "this network": ("0.0.0.0", "0.1.2.3"),  # noqa: S104
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fd00:ec2::254"),
    "link-local": ("169.254.169.254", "fe80::1", "fe80::1%eth0", "febf::1"),
    "of a carrier": ("100.64.0.1", "100.100.100.200", "100.127.255.255"),
    "a cloud's host": ("168.63.129.16", "192.0.0.192"),
    "protocol assignments": ("192.0.0.8", "192.0.0.9", "2001:1::1", "2001:10::1", "2001:20::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1", "198.19.255.255", "2001:2::1"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "4000::1", "e000::1", "::"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"),
    "compatible": ("::127.0.0.1", "::8.8.8.8"),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::a00:1"),
    "6to4": ("2002:7f00:1::", "2002:808:808::1", "192.88.99.1"),
    "Teredo": ("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "site-local": ("fec0::1", "feff::1"),
    "discard and segments": ("100::1", "5f00::1"),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """What the registries leave to hosts on the internet is public, up to the very edge of each range."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", [address for found in NOT_PUBLIC.values() for address in found])
def test_addresses_that_are_not_public(address: str) -> None:
    """No address of a special range is public, nor one that leads to an IPv4 address by another spelling."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "1.2.3.4.5", "fe80::1%lo"]
)
def test_odd_spellings(host: str) -> None:
    """A host that systems take for an address, but that is not one in its plain spelling, is refused."""
    with pytest.raises(ValueError, match=r"does not appear to be|has a zone"):
        address_of(host)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("example.com", None),
        ("1e100.net", None),
        ("0xabc.example.org", None),
    ],
)
def test_plain_hosts(host: str, address: str | None) -> None:
    """An address in its plain spelling is that address, and a name is a name, digits in it or not."""
    assert address_of(host) == (address and ip_address(address))
