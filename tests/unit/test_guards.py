"""The guards of tests/conftest.py do what they say."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike import Config

TEST_NET = ("192.0.2.1", 9)  # RFC 5737: for documentation, routed nowhere


def connect_ex() -> None:
    with socket.socket() as client:
        client.connect_ex(TEST_NET)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(TEST_NET, timeout=1),
        connect_ex,
        lambda: socket.getaddrinfo("example.org", 443),
    ],
)
def test_reaching_beyond_this_machine_fails_the_test(reach: Callable[[], object]) -> None:
    """A connection or a look-up beyond loopback ends the test, with an outcome that no `except Exception` catches."""
    with pytest.raises(pytest.fail.Exception, match="tests stay on this machine") as caught:
        reach()
    assert not isinstance(caught.value, Exception)


def test_this_machine_can_be_reached() -> None:
    """A server on loopback, by address or by name, is what tests are for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


def test_no_folder_of_the_user_is_in_the_settings() -> None:
    """The settings that a test sees, and that a process it starts would see, lie in a temporary folder; offline."""
    config = Config.from_environ()
    for folder in (config.index, config.cache_dir, config.hub.hub_cache, config.hub.digest_cache):
        assert Path.home() not in folder.parents
    assert config.hub.offline
    assert os.environ.get("HF_TOKEN") is None
