"""API keys: who is let in, what for, how often; and that no key is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, ConfigError, InputError, Overloaded
from lookalike.http.gate import ANONYMOUS, MAX_BUCKETS, Gatekeeper, Rate
from lookalike.http.keys import Caller, Scope, read_keys

SHOP = "shop-key-0123456789"
ROBOT = "robot-key-0123456789"
KEYS = f"shop embed,search {SHOP}; robot write {ROBOT}"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def gatekeeper(keys: str = KEYS) -> Gatekeeper:
    return Gatekeeper.of(ServeSettings(api_keys=keys))


def admit(keeper: Gatekeeper, key: str | None, scope: Scope | None, *, address: str = "1.2.3.4") -> None:
    """What becomes of a request."""
    keeper.admit(keeper.identify(key), scope, address=address)


def test_a_key_brings_its_name_and_scopes() -> None:
    """The caller is who the key was given to."""
    caller = gatekeeper().identify(SHOP)
    assert (caller.name, caller.scopes) == ("shop", {"embed", "search"})


def test_a_key_may_be_for_some_projects() -> None:
    """The fourth word; percent-encoded, so that any name can be said. Without it the key is for all."""
    keys = read_keys(ServeSettings(api_keys=f"a search {SHOP} shop-a,summer%20sale%2C%20red; b search {ROBOT}"))
    assert [key.caller.projects for key in keys] == [{"shop-a", "summer sale, red"}, None]


def caller(*projects: str) -> Caller:
    """Who has a key for these projects, or for all."""
    return Caller("a", frozenset(("search",)), frozenset(projects) or None)


def test_a_request_is_about_the_project_that_it_names_or_that_its_key_has() -> None:
    """A key for one project need not name it, one for several must, and one for all may leave it out."""
    assert [caller(*of).project_of("x") for of in ((), ("a",), ("a", "b"))] == ["x", "x", "x"]
    assert [caller(*of).project_of(None) for of in ((), ("a",))] == [None, "a"]
    with pytest.raises(InputError, match="say which of 'a', 'b'"):
        caller("a", "b").project_of(None)


def test_a_key_writes_to_its_own_projects_only() -> None:
    """Any other is refused by its name alone, in the same words whatever it is."""
    assert [caller().writes_to(name, default="d") for name in (None, "x")] == ["d", "x"]
    assert [caller("a").writes_to(name, default="d") for name in (None, "a")] == ["a", "a"]
    sentences = set()
    for name in ("b", "d", ""):
        with pytest.raises(AccessDenied) as caught:
            caller("a").writes_to(name, default="d")
        sentences.add(str(caught.value))
        assert caught.value.known
    assert len(sentences) == 1


@pytest.mark.parametrize("key", [None, "", "x", SHOP[:-1], SHOP + "0", "schlüssel", "\udcff"])
def test_an_unknown_key_is_not_let_in(key: str | None) -> None:
    """No key, a wrong one, a part of one, bytes that are no text: 401, not 403."""
    with pytest.raises(AccessDenied) as caught:
        gatekeeper().identify(key)
    assert not caught.value.known


def test_a_known_key_without_the_scope_is_told_so() -> None:
    """The sentence names who and what; the error says that the key is known."""
    with pytest.raises(AccessDenied, match="'robot' does not have the scope 'embed'") as caught:
        admit(gatekeeper(), ROBOT, "embed")
    assert caught.value.known


def test_any_key_will_do_where_no_scope_is_asked_for() -> None:
    """Whoever has a key may see the figures."""
    admit(gatekeeper(), ROBOT, None)


def test_without_keys_everybody_may_do_everything() -> None:
    """The one anonymous caller, whatever was sent."""
    admit(Gatekeeper(), "anything", "write")
    assert Gatekeeper().identify("anything") is ANONYMOUS


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    """One a line, with empty lines and comments; a key may have a # in it, and one name several keys."""
    file = tmp_path / "keys"
    file.write_text(f"# the shop\nshop embed {SHOP}\n\n  # soon to be retired\nshop search old#{SHOP}\n")
    keys = read_keys(ServeSettings(api_keys=f"robot write {ROBOT}", api_keys_file=file))
    assert [key.caller.name for key in keys] == ["robot", "shop", "shop"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"shop {SHOP}", "2 words"),
        (f"shop embed {SHOP} more more", "5 words"),
        (f"shop embed, search {SHOP}", "embed, search, write"),
        (f"shop embed {SHOP} a,,b", "names, separated by commas"),
        (f"sh/op embed {SHOP}", "name"),
        (f"shop embed,admin {SHOP}", "embed, search, write"),
        (f"shop embed, {SHOP}", "embed, search, write"),
        ("shop embed short-secret", "shorter than 16"),
        ("shop embed schlüssel-mit-umlaut", "only ASCII"),
        ("shop embed secret-0123456789\x7f", "only ASCII"),
    ],
)
def test_a_wrong_line_is_named_and_its_key_is_not(tmp_path: Path, line: str, reason: str) -> None:
    """The error says which line of which source, and why; nothing of the line itself."""
    file = tmp_path / "keys"
    file.write_text(f"# comment\n{line}\n")
    with pytest.raises(ConfigError, match=reason) as caught:
        read_keys(ServeSettings(api_keys_file=file))
    assert f"LOOKALIKE_API_KEYS_FILE ({file}), line 2" in str(caught.value)
    assert SHOP not in str(caught.value)
    assert "short-secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n# nothing yet\n"])
def test_a_source_without_keys_does_not_open_the_service(tmp_path: Path, content: str) -> None:
    """An empty file is a mistake, not permission for everybody."""
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(ConfigError, match="names no key"):
        read_keys(ServeSettings(api_keys_file=file))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(ConfigError, match=r"LOOKALIKE_API_KEYS_FILE .*cannot be read"):
        read_keys(ServeSettings(api_keys_file=tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_keys(ServeSettings(api_keys_file=tmp_path / "binary"))


def test_one_key_cannot_stand_for_two_callers() -> None:
    """The same key twice is a mistake."""
    with pytest.raises(ConfigError, match="twice"):
        gatekeeper(f"shop embed {SHOP}; robot search {SHOP}")


def test_no_repr_shows_a_key() -> None:
    """Neither of the settings, nor of the keys, in clear or as a digest."""
    settings = ServeSettings(api_keys=KEYS)
    shown = f"{settings!r} {read_keys(settings)!r} {vars(gatekeeper())!r}"
    assert SHOP not in shown
    assert "digest" not in shown


def test_a_caller_may_send_a_minutes_worth_and_then_one_after_another() -> None:
    """A token bucket: full at first, refilled evenly, never fuller than a minute's worth."""
    clock = Clock()
    rate = Rate(60, clock)
    for _ in range(60):
        rate.take("shop")
    with pytest.raises(Overloaded) as caught:
        rate.take("shop")
    assert (caught.value.retry_after_s, caught.value.own) == (1, True)
    rate.take("robot")
    clock.now_s += 1
    rate.take("shop")
    with pytest.raises(Overloaded):
        rate.take("shop")
    clock.now_s += 3600
    for _ in range(60):
        rate.take("shop")
    with pytest.raises(Overloaded):
        rate.take("shop")


def test_callers_are_forgotten_when_there_are_too_many() -> None:
    """A stream of addresses takes no more than a bounded amount of memory."""
    rate = Rate(1, Clock())
    for number in range(MAX_BUCKETS + 5):
        rate.take(str(number))
    assert len(rate._buckets) == MAX_BUCKETS


def test_the_rate_counts_keys_or_else_addresses() -> None:
    """With keys it is the key that is limited, wherever it is used; without, the client's address."""
    keyed = Gatekeeper.of(ServeSettings(api_keys=KEYS, requests_per_minute=1))
    admit(keyed, SHOP, "embed", address="1.1.1.1")
    with pytest.raises(Overloaded):
        admit(keyed, SHOP, "embed", address="2.2.2.2")
    open_to_all = Gatekeeper.of(ServeSettings(requests_per_minute=1))
    admit(open_to_all, None, "embed", address="1.1.1.1")
    admit(open_to_all, None, "embed", address="2.2.2.2")
    with pytest.raises(Overloaded):
        admit(open_to_all, None, "embed", address="1.1.1.1")
