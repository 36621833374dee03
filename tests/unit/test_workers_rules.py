"""What the workers decide by: blame, pauses, patience, the canary, and the line between two processes."""

from __future__ import annotations

import multiprocessing
import os
import socket
import struct
import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import canary
from lookalike.batching import Entry, QueueLimits
from lookalike.batching.guilt import REMEMBERED, REMEMBERED_S
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.workers import damping, progress
from lookalike.workers.blame import Convicts, judge
from lookalike.workers.canary import Canary
from lookalike.workers.channel import Channel
from lookalike.workers.child import STEP_IMAGES
from lookalike.workers.damping import Damping
from lookalike.workers.progress import POLL_S, Marks, Patience, Place

TOWER = FakeEncoder().tower
KNOWN = np.concatenate(
    [
        Embedder(LocalVectorizer(FakeEncoder())).embed_images([canary.PICTURE]).values,
        Embedder(LocalVectorizer(FakeEncoder())).embed_texts([canary.TEXT]).values,
    ]
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entries(n: int) -> list[Entry]:
    """Pictures that somebody waits for."""
    return [Entry(("image", bytes([i])), b"", ("image", 0), "bulk", "", i, 0.0) for i in range(n)]


def find(batch: Sequence[Entry], guilty: Sequence[Entry], *, inference: bool) -> tuple[list[Entry], int]:
    """Who is convicted when a worker ends at each of these inputs, and how many workers that takes."""
    convicted: list[Entry] = []
    groups, n_lost = [list(batch)], 0
    while groups:
        group = groups.pop()
        bad = [place for place, entry in enumerate(group) if entry in guilty]
        if bad:
            n_lost += 1
            place = Place(bad[0] // 8 * 8, inference=True) if inference else Place(bad[0], inference=False)
            verdict = judge(group, place, outside=False)
            convicted += verdict.convicted
            groups += [list(again) for again in verdict.groups]
    return convicted, n_lost


@pytest.mark.parametrize("place", [0, 7, 8, 19, 31])
def test_a_mark_finds_the_one_in_two(place: int) -> None:
    """The input that was being decoded is tried once more alone; nobody else is suspected."""
    batch = entries(32)
    assert find(batch, [batch[place]], inference=False) == ([batch[place]], 2)
    assert all(entry.guilt == 0 for entry in batch if entry is not batch[place])


@pytest.mark.parametrize("place", [0, 7, 8, 19, 31])
def test_halving_finds_the_one_in_four(place: int) -> None:
    """Of the eight that the model had: the eight, four, two, and the one alone."""
    batch = entries(32)
    assert find(batch, [batch[place]], inference=True) == ([batch[place]], 4)


@pytest.mark.parametrize("inference", [True, False])
def test_all_of_several_are_found(inference: bool) -> None:
    """Each guilty input is convicted once, and nobody else."""
    batch = entries(32)
    guilty = [batch[place] for place in (3, 4, 17, 31)]
    convicted, _ = find(batch, guilty, inference=inference)
    assert sorted(entry.number for entry in convicted) == [3, 4, 17, 31]


def test_the_innocent_go_first() -> None:
    """Whoever is not suspected is tried again before the suspect."""
    batch = entries(5)
    verdict = judge(batch, Place(2, inference=False), outside=False)
    assert [[entry.number for entry in group] for group in verdict.groups] == [[0, 1, 3, 4], [2]]


def test_being_killed_by_somebody_else_proves_little() -> None:
    """An input whose worker is killed from outside is convicted at the sixth time, one that crashes at the second."""
    for outside, times in ((True, 6), (False, 2)):
        (entry,) = entries(1)
        verdicts = [judge([entry], Place(0, inference=False), outside=outside).convicted for _ in range(times)]
        assert [len(found) for found in verdicts] == [0] * (times - 1) + [1]


def test_convictions_are_forgotten() -> None:
    """After an hour, and the oldest where there are too many."""
    clock = Clock()
    convicts = Convicts(clock)
    convicts.add(("text", b"first"))
    clock.now += REMEMBERED_S - 1
    convicts.add(("text", b"second"))
    assert ("text", b"first") in convicts
    clock.now += 1
    assert [("text", word) in convicts for word in (b"first", b"second")] == [False, True]
    for number in range(REMEMBERED):
        convicts.add(("text", str(number).encode()))
    assert ("text", b"second") not in convicts
    assert ("text", b"0") in convicts


def lost_after(rule: Damping, clock: Clock, seconds: float) -> float:
    """The pause after a worker that was ready for so long."""
    rule.ready()
    clock.now += seconds
    return rule.lost()


def test_who_was_ready_is_replaced_soon_however_often() -> None:
    """Three losses within a minute are replaced at once, any number of further ones after half a second each."""
    clock = Clock()
    rule = Damping(clock)
    assert [lost_after(rule, clock, 0.1) for _ in range(100)] == [0, 0, 0, *[damping.PAUSE_S] * 97]
    assert damping.PAUSE_S <= 0.5
    assert lost_after(rule, clock, damping.WITHIN_S) == 0


def test_who_never_came_up_is_tried_again_ever_more_seldom() -> None:
    """After one second, then twice as long each time up to a minute; from the start once one was ready."""
    clock = Clock()
    rule = Damping(clock)
    assert [rule.lost() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert lost_after(rule, clock, 0.1) == 0
    assert [rule.lost() for _ in range(3)] == [1, 2, 4]


def test_no_picture_waits_for_a_step_that_is_not_its_own() -> None:
    """A batch of pictures is what the model is given at a time: its answers come when it has run, no more at once."""
    assert QueueLimits().batch("bulk", "image") == STEP_IMAGES


def test_marks_tell_where_a_worker_is() -> None:
    """What one side sets the other side reads; cleared, there is nothing."""
    marks = Marks(multiprocessing.get_context("forkserver"))
    assert marks.place is None
    for place in (Place(0, inference=False), Place(0, inference=True), Place(31, inference=False)):
        ticks = marks.ticks
        marks.set(place)
        assert (marks.place, marks.ticks > ticks) == (place, True)
    marks.clear()
    assert marks.place is None


def test_patience_counts_standing_still_only() -> None:
    """Seconds add up while the mark stays and begin anew when it moves; a gap in looking counts as a look or two."""
    clock = Clock()
    marks = Marks(multiprocessing.get_context("forkserver"))
    patience = Patience(marks, clock=clock)
    patience.begin(os.getpid())
    for _ in range(10):
        clock.now += POLL_S
        patience.look()
    stuck_s = patience.stuck_s
    assert 0 < stuck_s <= 10 * POLL_S + 1e-6
    clock.now += 3600.0  # the machine was asleep
    assert patience.look() <= stuck_s + 2 * POLL_S + 1e-6
    marks.set(Place(1, inference=False))
    assert patience.look() == 0.0


def test_waiting_for_a_core_is_not_standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says that a worker waited for a core is taken off."""
    starved = iter([0.0, 0.04, 0.14])
    monkeypatch.setattr(progress, "starved_s", lambda _: next(starved))
    clock = Clock()
    patience = Patience(Marks(multiprocessing.get_context("forkserver")), clock=clock)
    patience.begin(1)
    found = []
    for _ in range(3):
        clock.now += 0.05
        found.append(patience.look())
    assert found == pytest.approx([0.05, 0.06, 0.06])


def test_the_canary_is_a_picture_and_a_text() -> None:
    """The picture is one that any reader opens, and neither is trivial."""
    with Image.open(BytesIO(canary.PICTURE)) as opened:
        assert (opened.format, opened.size, opened.mode) == ("BMP", (64, 64), "RGB")
        assert len(np.unique(np.asarray(opened).reshape(-1, 3), axis=0)) > 1000
    assert len(canary.TEXT.split()) > 5


def test_the_first_answer_to_the_canary_is_kept(tmp_path: Path) -> None:
    """It is what all later ones are compared with, in this process and in others; a tower has its own."""
    first = Canary(tmp_path)
    assert first.fault(TOWER, KNOWN) == ""
    assert first.fault(TOWER, -KNOWN) != ""
    later = Canary(tmp_path)
    assert later.fault(TOWER, -KNOWN) != ""
    assert later.fault(TOWER, KNOWN) == ""
    assert later.fault(FakeEncoder(name="other").tower, -KNOWN) == ""


@pytest.mark.parametrize("rows", [KNOWN[:1], KNOWN * np.nan, KNOWN[:, :10]])
def test_what_is_no_answer_is_never_kept(tmp_path: Path, rows: np.ndarray) -> None:
    """Rows that are missing, not finite or of another length are a fault, even if they come first."""
    assert "finite" in Canary(tmp_path).fault(TOWER, rows)
    assert list(tmp_path.iterdir()) == []


def shaken(noise: float) -> np.ndarray:
    """The known rows with some noise, of unit length."""
    rows = KNOWN + np.float32(noise) * np.random.default_rng(0).standard_normal(KNOWN.shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("noise", "within", "later"), [(1e-5, True, True), (4e-3, False, True), (2e-2, False, False)])
def test_a_little_rounding_is_no_fault(tmp_path: Path, noise: float, within: bool, later: bool) -> None:
    """Within one service another order of additions passes; later also another recipe of the same space, no more."""
    first = Canary(tmp_path)
    assert first.fault(TOWER, KNOWN) == ""
    assert (first.fault(TOWER, shaken(noise)) == "") is within
    fault = Canary(tmp_path).fault(TOWER, shaken(noise))
    assert (fault == "") is later
    assert later or f"delete {tmp_path}" in fault


def test_messages_come_out_as_they_went_in() -> None:
    """Header and body, empty or larger than every buffer, one after the other."""
    left, right = socket.socketpair()
    messages = [({"n": 1}, b""), ({"text": "\ud800 \N{SNOWMAN}"}, b"abc"), ({}, os.urandom(3 << 20))]
    sender = threading.Thread(target=lambda: [Channel(left).send(*message) for message in messages])
    sender.start()
    channel = Channel(right)
    for header, body in messages:
        found, data = channel.receive()
        assert (found, bytes(data)) == (header, body)
    sender.join()
    left.close()
    right.close()


@pytest.mark.parametrize("sent", [b"", b"\0\0", struct.pack(">II", 10, 10), struct.pack(">II", 2, 10) + b"{}abc"])
def test_an_end_in_the_middle_is_an_end(sent: bytes) -> None:
    """Wherever the other side dies within a message, the reader learns that it is gone."""
    left, right = socket.socketpair()
    left.sendall(sent)
    left.close()
    with right, pytest.raises(ConnectionError):
        Channel(right).receive()


@pytest.mark.parametrize("sent", [b"\xff" * 8, struct.pack(">II", 3, 0) + b"abc", struct.pack(">II", 2, 0) + b"[]"])
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    """Lengths beyond all measure, a header that is no JSON or no object: ValueError, and nothing is allocated."""
    left, right = socket.socketpair()
    with left, right, pytest.raises(ValueError):
        left.sendall(sent)
        Channel(right).receive()


def test_a_message_has_a_limit_of_its_own() -> None:
    """What is longer than this line allows is refused by its length, and brackets within brackets are no header."""
    left, right = socket.socketpair()
    with left, right:
        channel = Channel(right, max_bytes=100_000)
        left.sendall(struct.pack(">II", 2, 100_001) + b"{}")
        with pytest.raises(ValueError, match="100001 bytes"):
            channel.receive()
    left, right = socket.socketpair()
    with left, right, pytest.raises(ValueError, match="brackets"):
        left.sendall(struct.pack(">II", 100_000, 0) + b"[" * 100_000)
        Channel(right, max_bytes=100_000).receive()


def test_a_line_that_nobody_reads_is_given_up() -> None:
    """Sending and receiving come back to their owner at each timeout, who may give up."""

    class Enough(Exception):
        pass

    def give_up() -> None:
        raise Enough

    left, right = socket.socketpair()
    with left, right:
        left.settimeout(0.01)
        channel = Channel(left, on_wait=give_up)
        with pytest.raises(Enough):
            channel.send({}, b"x" * (16 << 20))
        with pytest.raises(Enough):
            channel.receive()
