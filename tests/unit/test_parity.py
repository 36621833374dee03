"""Parity: what differs between two models is found, named and judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike.calls import Inputs, joined
from lookalike.cli import awkward, main
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import SpaceMismatch
from lookalike.parity import Agreement, compare
from lookalike.policy import ImagePolicy
from lookalike.spaces import Tower
from lookalike.types import Vectors
from tests.doubles.simple import texts
from tests.pictures import picture, write

WORDS = texts("red", "green", "blue", "white")


class Turned:
    """A model that turns the vector of the input named `of` by an angle, and is otherwise the fake one."""

    def __init__(self, of: str, angle: float) -> None:
        self._of = of
        self._angle = angle
        self._local = LocalVectorizer(FakeEncoder())

    @property
    def tower(self) -> Tower:
        return self._local.tower

    @property
    def policy(self) -> ImagePolicy:
        return self._local.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        for part in self._local.embed(inputs, until=until):
            values = part.values.copy()
            for row, position in enumerate(part.positions):
                if inputs.names[position] == self._of:
                    values[row] = turned(values[row], self._angle)
            yield replace(part, values=values)


def turned(row: np.ndarray, angle: float) -> np.ndarray:
    """A unit row, turned by an angle towards some direction that is square to it."""
    aside = np.linspace(-1, 2, len(row))
    aside -= (aside @ row) * row
    found: np.ndarray = np.cos(angle) * row + np.sin(angle) * aside / np.linalg.norm(aside)
    return found.astype(np.float32)


def local(name: str = "fake") -> LocalVectorizer:
    return LocalVectorizer(FakeEncoder(name=name))


def only(*agreements: Agreement) -> Agreement:
    assert len(agreements) == 1
    return agreements[0]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["parity", *arguments])


def test_a_model_agrees_with_itself() -> None:
    """Equal models differ by nothing, in both modalities, and pass at a tolerance of 0."""
    report = compare(local(), local(), [awkward.texts(), awkward.pictures()], tolerance=0)
    assert [agreement.modality for agreement in report.agreements] == ["text", "image"]
    assert all(agreement.max_difference == 0 for agreement in report.agreements)
    assert all(agreement.cosine_min == pytest.approx(1, abs=1e-9) for agreement in report.agreements)
    assert report.passed
    assert report.shares_space


def test_figures_are_those_of_the_vectors() -> None:
    """The largest difference and the cosine are what can be computed by hand, and the worst case is named first."""
    model = Turned("blue", 0.2)
    agreement = only(*compare(local(), model, [WORDS]).agreements)
    ours, theirs = (joined(m.embed(texts("blue")), m.tower).values[0] for m in (local(), model))
    assert agreement.n == 4
    assert agreement.max_difference == pytest.approx(np.abs(ours - theirs).max())
    assert agreement.cosine_min == pytest.approx(np.cos(0.2), abs=1e-6)
    assert agreement.cosine_p1 == pytest.approx(1 - 0.97 * (1 - np.cos(0.2)), abs=1e-6)
    assert agreement.cosine_p50 == pytest.approx(1, abs=1e-6)
    assert agreement.worst[0].name == "blue"
    assert agreement.worst[1].difference == 0


@pytest.mark.parametrize(
    ("angle", "passed", "shares_space"), [(1e-4, True, True), (0.02, False, True), (0.1, False, False)]
)
def test_there_are_two_verdicts(angle: float, passed: bool, shares_space: bool) -> None:
    """Small differences pass; larger ones fail, but share the space as long as every cosine is 0.999."""
    report = compare(local(), Turned("red", angle), [WORDS])
    assert (report.passed, report.shares_space) == (passed, shares_space)


def test_what_one_cannot_use_is_left_out_and_said() -> None:
    """An input that a model fails at is named with the reason; where nothing is left, nothing passes."""
    inputs = Inputs(modality="image", payloads=[picture("red"), b"no"], names=["good", "bad"])
    agreement = only(*compare(local(), local(), [inputs]).agreements)
    assert agreement.n == 1
    assert len(agreement.left_out) == 2
    assert all(sentence.startswith("bad: not by fake on fake: ") for sentence in agreement.left_out)
    nothing = compare(local(), local(), [inputs.at([1])])
    assert not nothing.passed
    assert not nothing.shares_space


def test_models_of_other_lengths_cannot_be_compared() -> None:
    """Vectors of different lengths are an error that says whose they are."""
    small = FakeEncoder()
    space = replace(small.tower.space, dim=7, model="other")

    class Small(Turned):
        @property
        def tower(self) -> Tower:
            return replace(small.tower, space=space)

    with pytest.raises(SpaceMismatch, match="fake and other are models of two spaces: vectors of 48 numbers"):
        compare(local(), Small("", 0), [WORDS])


def test_nothing_in_common_is_no_pass() -> None:
    """A corpus of nothing that both embed is an error, not a PASS."""
    with pytest.raises(SpaceMismatch, match="nothing that both"):
        compare(local(), local(), [])


def test_the_command_passes_a_model_that_is_the_same() -> None:
    """`lookalike parity tiny tiny` ends with status 0 and says PASS."""
    done = run("tiny", "tiny")
    assert done.exit_code == 0, done.output
    assert "PASS" in done.stdout


def test_the_command_fails_what_differs_and_names_it() -> None:
    """An int8 model fails at the usual tolerance with status 1, may share the space, and passes at a wider one."""
    done = run("tiny", "tiny", "--b-precision", "int8", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["passed"], said["shares_space"]) == (1, False, True)
    assert (said["a"]["precision"], said["b"]["precision"]) == ("exact", "int8")
    assert all(len(agreement["worst"]) == 5 for agreement in said["agreements"])
    assert run("tiny", "tiny", "--b-precision", "int8", "--tolerance", "0.05").exit_code == 0


def test_the_command_takes_a_folder_of_pictures(tmp_path: Path) -> None:
    """Pictures below a folder are compared as well; one without any is an error."""
    write(tmp_path, {"a/red.png": picture("red"), "blue.JPG": picture("blue", kind="JPEG"), "note.txt": b"text"})
    said = json.loads(run("tiny", "tiny", "--json", "--images", str(tmp_path)).stdout)
    assert [agreement["modality"] for agreement in said["agreements"]] == ["text", "image", "image"]
    assert said["agreements"][2]["n"] == 2
    none = run("tiny", "tiny", "--images", str(tmp_path / "nowhere"))
    assert none.exit_code == 1
    assert "no picture" in none.stderr


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x05\x06" + bytes(18), b"\x80\x04.", b"\x93NUMPY\x01\x00\x02\x00[\n"],
    ids=["empty", "an archive", "a pickle", "half a header"],
)
def test_a_file_that_holds_no_vectors_is_a_sentence(tmp_path: Path, data: bytes) -> None:
    """Whatever stands in a .npy: nothing is unpickled, and there is no traceback."""
    write(tmp_path, {"red.png": picture("red")})
    (tmp_path / "rows.npy").write_bytes(data)
    refused = run("tiny", str(tmp_path / "rows.npy"), "--images", str(tmp_path))
    assert refused.exit_code == 1
    assert "rows.npy: is no array" in refused.stderr
