"""What a hub says, read: pure functions."""

from __future__ import annotations

import pytest

from lookalike.errors import (
    LookalikeError,
    ModelNotFound,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
    UnsupportedModel,
)
from lookalike.weights.hub_answers import (
    Asked,
    content_range,
    listing_of,
    pause_note,
    pinned_listing,
    refusal,
    stated_digest,
)
from lookalike.weights.local import hub_model

MODEL = hub_model("acme/clip@v1")
COMMIT, SHA1, SHA256 = "c" * 40, "1" * 40, "2" * 64


def siblings(*names: str) -> list[dict[str, object]]:
    """Entries of a listing."""
    return [{"rfilename": name} for name in names]


def test_a_listing_gives_commit_sizes_and_digests() -> None:
    """LFS files are known by sha256, others by git's sha1; what is not needed is left out; the weights are the last."""
    entries = [
        {"rfilename": "model.safetensors", "size": 9, "blobId": SHA1, "lfs": {"sha256": SHA256, "size": 9}},
        {"rfilename": "config.json", "size": 5, "blobId": SHA1},
        *siblings("tokenizer.json", "README.md", "1_Pooling/config.json"),
    ]
    listing = listing_of({"sha": COMMIT, "siblings": entries}, MODEL, host="hub")
    assert listing.commit == COMMIT
    assert [(file.name, file.digest, file.n_bytes, file.optional) for file in listing.files] == [
        ("config.json", SHA1, 5, False),
        ("tokenizer.json", "", None, False),
        ("1_Pooling/config.json", "", None, True),
        ("model.safetensors", SHA256, 9, False),
    ]


def test_a_pinned_listing_ends_with_the_weights() -> None:
    """A run that is cut short must not leave something behind that looks complete."""
    listing = pinned_listing(hub_model("clip"))
    assert listing.files[-1].name == "model.safetensors"
    assert all(len(file.digest) == 64 for file in listing.files)


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", {}, {"sha": COMMIT}, {"sha": "../..", "siblings": []}, {"sha": 5, "siblings": []}],
)
def test_an_answer_that_is_no_listing_is_refused(answer: object) -> None:
    """A page of another server is not taken for a repository, and no commit leads out of the cache."""
    with pytest.raises(Refused, match="HF_ENDPOINT"):
        listing_of(answer, MODEL, host="hub")


@pytest.mark.parametrize("entry", [5, None, {"rfilename": []}, {"rfilename": "x", "lfs": 5, "size": "big"}])
def test_odd_entries_are_passed_over(entry: object) -> None:
    """One strange entry does not spoil a listing."""
    needed = siblings("config.json", "tokenizer.json", "model.safetensors")
    assert len(listing_of({"sha": COMMIT, "siblings": [entry, *needed]}, MODEL, host="hub").files) == 3


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("config.json", "tokenizer.json", "pytorch_model.bin"), r"no model\.safetensors .*refs/pr/NUMBER"),
        (("model.safetensors",), r"no config\.json and no tokenizer\.json"),
    ],
)
def test_a_repository_that_lacks_a_file_names_it(names: tuple[str, ...], says: str) -> None:
    """What is missing is in the message, with a way out where there is one."""
    with pytest.raises(UnsupportedModel, match=says):
        listing_of({"sha": COMMIT, "siblings": siblings(*names)}, MODEL, host="hub")


@pytest.mark.parametrize(
    ("chain", "digest"),
    [
        ([{"x-linked-etag": f'"{SHA256}"', "etag": '"abc"'}, {"etag": f'"{SHA1}"'}], SHA256),
        ([{"etag": f'W/"{SHA1}"'}], SHA1),
        ([{}, {"etag": SHA1.upper()}], SHA1),
        ([{"etag": '"0123456789abcdef0123456789abcdef"'}], ""),
        ([{"etag": f'"{SHA256}-gzip"'}], ""),
        ([], ""),
    ],
)
def test_a_digest_is_read_from_the_first_answer_that_has_one(chain: list[dict[str, str]], digest: str) -> None:
    """Redirects come before storage, linked before own, and what is no digest is none."""
    assert stated_digest(chain) == digest


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes */10", None),
        ("items 5-9/10", None),
        ("", None),
        (None, None),
    ],
)
def test_content_range_is_read(header: str | None, place: tuple[int, int | None] | None) -> None:
    """Where a part begins, and how long the whole is."""
    assert content_range(header) == place


def ask(*, file: str = "", with_token: bool = False) -> Asked:
    """A question about the model."""
    return Asked(repository=MODEL, file=file, host="hub.example", with_token=with_token, now_s=0)


@pytest.mark.parametrize(
    ("status", "headers", "asked", "kind", "says"),
    [
        (429, {"retry-after": "9"}, ask(), RateLimited, "9 s .*HF_TOKEN"),
        (429, {}, ask(with_token=True), RateLimited, "a while"),
        (503, {"retry-after": "9"}, ask(), RateLimited, "HTTP 503"),
        (503, {}, ask(), Unavailable, "HTTP 503"),
        (408, {}, ask(), Unavailable, "HTTP 408"),
        (401, {"x-error-code": "GatedRepo"}, ask(), Refused, "accept its conditions .* set HF_TOKEN"),
        (403, {"x-error-code": "GatedRepo"}, ask(with_token=True), Refused, "HF_TOKEN that was sent"),
        (403, {}, ask(), Refused, "gated"),
        (401, {"x-error-code": "RepoNotFound"}, ask(), ModelNotFound, "spelling .* private, set HF_TOKEN"),
        (404, {}, ask(), ModelNotFound, "spelling"),
        (404, {"x-error-code": "RevisionNotFound"}, ask(), ModelNotFound, "no revision 'v1'"),
        (404, {"x-error-code": "EntryNotFound"}, ask(file="a.json"), ModelNotFound, "no a.json"),
        (451, {}, ask(), Refused, "HTTP 451"),
    ],
)
def test_every_refusal_has_its_error_and_its_remedy(
    status: int, headers: dict[str, str], asked: Asked, kind: type[LookalikeError], says: str
) -> None:
    """Whether it can be retried, and what to do, follow from the status and the hub's error code."""
    error = refusal(status, headers, asked)
    assert type(error) is kind
    assert error.retryable is (status in (429, 503, 408))
    with pytest.raises(kind, match=says):
        raise error


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (RateLimited("", provider="hub"), "hub asks for a pause: trying again in 3 s."),
        (Unavailable("", provider="hub", status=502), "hub failed (HTTP 502): trying again in 3 s."),
        (Unavailable("", provider="hub"), "hub cannot be reached, or the connection broke: trying again in 3 s."),
    ],
)
def test_a_pause_is_told_in_one_line(error: ProviderError, note: str) -> None:
    """Who watches a download needs the reason and the time, not yet a remedy."""
    assert pause_note(error, 3.2, host="hub") == note
