"""`lookalike doctor`: healthy and sick machines, each with the real model and the real store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from lookalike.app import create_store
from lookalike.cli import main
from lookalike.cli.checks import (
    Check,
    available_memory,
    check_cores,
    check_folder,
    check_heic,
    check_libraries,
    check_memory,
    check_network,
    check_search_speed,
    check_terminal,
    guarded,
    memory_limit,
)
from lookalike.cli.model_checks import (
    check_pictures,
    check_texts,
    check_tokenizer,
    check_words_find_pictures,
    drawing,
    judge_loading,
    judge_speed,
    published_name,
    shirt,
)
from lookalike.config import Config
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import MissingDependency, StoreLocked
from lookalike.index import Index
from lookalike.known import KNOWN_MODELS
from lookalike.spaces import Tower
from lookalike.types import Pixels, Rows, Tokens
from lookalike.weights.local import BUILT_IN, FileCheck, HubSettings
from tests.pictures import noise, picture, write

NAMES = [
    "Python",
    "libraries",
    "cores",
    "memory",
    "model",
    "model files",
    "loading",
    "tokenizer",
    "text",
    "text canary",
    "picture",
    "picture canary",
    "words and pictures",
    "index",
    "search kernels",
    "cache folder",
    "index folder",
    "HEIC pictures",
    "downloads",
    "terminal",
]
GB = 10**9


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The settings of the test session, with an index and a hub cache of its own, and the built-in model."""
    config = Config.from_environ()
    hub = replace(config.hub, hub_cache=tmp_path / "hub")
    return replace(config, index=tmp_path / "photos.lookalike", hub=hub, model="tiny")


def examined(config: Config, *options: str) -> tuple[int, dict[str, Check]]:
    """Exit code, and the checks by name, of `lookalike doctor --json`."""
    result = CliRunner().invoke(main, ["doctor", "--json", *options], obj=config)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    found = [Check(**fields) for fields in json.loads(result.stdout)]
    assert len({check.name for check in found}) == len(found)
    assert all(check.facts for check in found)
    return result.exit_code, {check.name: check for check in found}


def indexed(config: Config, folder: Path) -> None:
    """Index a few pictures."""
    write(folder, {f"{n}.png": noise(n) for n in range(12)})
    assert CliRunner().invoke(main, ["index", str(folder), "--json"], obj=config).exit_code == 0


def test_a_fresh_machine_is_fine(config: Config) -> None:
    """With the built-in model and no index everything works: exit code 0, and the first step is named."""
    code, found = examined(config)
    assert list(found) == NAMES
    assert code == 0
    assert not [check for check in found.values() if check.is_bad]
    assert found["index"].verdict == "warning" and "lookalike index" in found["index"].remedy
    for name in ("libraries", "model", "model files", "tokenizer", "text canary", "picture canary"):
        assert found[name].verdict == "ok", found[name]


def test_an_index_is_read_and_compared(config: Config, tmp_path: Path) -> None:
    """An index is counted, read to its last byte, and belongs to the model."""
    indexed(config, tmp_path / "pictures")
    code, found = examined(config)
    assert code == 0
    assert "12 items of 12 pictures" in found["index"].facts and found["index"].verdict == "ok"
    assert found["index and model"].verdict == "ok"


def test_unused_vectors_are_told(config: Config, tmp_path: Path) -> None:
    """An index that is mostly dead weight says how to shrink it."""
    indexed(config, tmp_path / "pictures")
    with Index.open(config=config, write=True) as index:
        index.delete([item.id for item in index.items()][:10])
    code, found = examined(config)
    assert code == 0
    assert found["index"].verdict == "slow" and "lookalike index" in found["index"].remedy
    assert CliRunner().invoke(main, ["index", str(tmp_path / "pictures")], obj=config).exit_code == 0
    _, found = examined(config)
    assert found["index"].verdict == "ok"


def test_text_says_the_same(config: Config) -> None:
    """Into a pipe there is a line to a check, its remedy below it, a sentence at the end, and no escapes."""
    _, found = examined(config)
    result = CliRunner().invoke(main, ["doctor"], obj=config)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and "\x1b" not in result.stdout
    names = [line[9:].split(": ")[0] for line in lines[:-1] if not line.startswith(" ")]
    assert names == list(found)
    assert len([line for line in lines if "->" in line]) >= sum(bool(c.remedy) for c in found.values()) - 2
    assert lines[-1].startswith("Everything works")


def test_a_damaged_index_is_wrong_and_the_rest_is_still_told(config: Config, tmp_path: Path) -> None:
    """One flipped bit in a vector is found; every other check is there; exit code 1."""
    indexed(config, tmp_path / "pictures")
    (vectors,) = config.index.glob("high-*")
    data = bytearray(vectors.read_bytes())
    data[-5] ^= 1
    vectors.write_bytes(data)
    code, found = examined(config)
    assert code == 1
    assert [name for name, check in found.items() if check.is_bad] == ["index"]
    assert vectors.name in found["index"].facts and "lookalike index" in found["index"].remedy
    assert list(found) == [*NAMES[:13], "index and model", *NAMES[13:]]


def test_an_index_of_another_space_is_wrong(config: Config) -> None:
    """A model that does not fit the index is told with both their names."""
    create_store(config.index, FakeEncoder().tower.space).close()
    code, found = examined(config)
    assert code == 1
    assert found["index and model"].verdict == "wrong"
    assert "fake" in found["index and model"].facts and "tiny" in found["index and model"].facts
    code, found = examined(replace(config, model="auto"))  # the index's own model, which is nowhere
    assert code == 1
    assert found["model"].verdict == "missing" and found["index"].verdict == "ok"


def test_a_model_that_is_not_here_is_missing(config: Config) -> None:
    """Nothing is fetched to find out; the command that would is named, and the checks that need it are left out."""
    code, found = examined(config, "--model", "clip")
    assert code == 1
    assert found["model"].verdict == "missing" and "lookalike models pull clip" in found["model"].remedy
    assert list(found) == [name for name in NAMES if name not in NAMES[5:13]]
    assert not config.hub.hub_cache.exists()


def test_a_damaged_model_is_wrong(config: Config, tmp_path: Path) -> None:
    """A weight file that is cut off is named, and what does not need it is still told."""
    folder = shutil.copytree(BUILT_IN / "tiny", tmp_path / "mine")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    code, found = examined(config, "--model", str(folder))
    assert code == 1
    for name in ("text", "picture"):
        assert found[name].verdict == "wrong" and "model.safetensors" in found[name].facts
    assert "search kernels" in found


def test_a_folder_works_as_a_model(config: Config, tmp_path: Path) -> None:
    """A model's folder is examined like a known model, in int8 too."""
    folder = shutil.copytree(BUILT_IN / "tiny", tmp_path / "mine")
    code, found = examined(config, "--model", str(folder), "--precision", "int8")
    assert code == 0, found
    assert found["text canary"].verdict == found["picture canary"].verdict == "ok"


@dataclass(frozen=True)
class Sick:
    """The fake encoder, with one illness."""

    illness: str = ""
    healthy: FakeEncoder = field(default_factory=FakeEncoder)

    @property
    def tower(self) -> Tower:
        return self.healthy.tower

    def prepare_image(self, image: Image.Image) -> Pixels:
        return self.healthy.prepare_image(image)

    def prepare_text(self, text: str) -> Tokens:
        return Tokens(np.zeros(3, np.int64)) if self.illness == "tokenizer" else self.healthy.prepare_text(text)

    def encode_images(self, pixels: Pixels) -> Rows:
        return self._spoilt(self.healthy.encode_images(pixels))

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        return self._spoilt(self.healthy.encode_texts(tokens))

    def _spoilt(self, rows: Rows) -> Rows:
        if self.illness == "length":
            return rows * np.float32(1.01)
        if self.illness == "batch" and len(rows) > 1:
            return np.ascontiguousarray(np.roll(rows, 1, axis=1))
        if self.illness == "order":
            return rows[::-1].copy()
        if self.illness == "nan":
            return rows * np.float32(np.nan)
        if self.illness == "same":
            return np.ascontiguousarray(np.repeat(rows[:1], len(rows), axis=0))
        return rows


CLIP = "openai/clip-vit-base-patch32"


@pytest.mark.parametrize("illness", ["length", "batch", "order", "nan", "same"])
def test_canaries_die_of_a_sick_encoder(illness: str) -> None:
    """Vectors of a wrong length, that depend on the batch, out of order, not finite, all the same: each is noticed."""
    assert check_texts(Sick(), "").verdict == "ok"
    assert check_pictures(Sick()).verdict == "ok"
    assert check_texts(Sick(illness), "").verdict == "wrong"
    assert check_pictures(Sick(illness)).verdict == "wrong"


def test_a_wrong_tokenizer_is_noticed() -> None:
    """A known model's sentence has its published ids; an unknown one's texts do not all have the same."""
    assert check_tokenizer(Sick("tokenizer"), "").verdict == "wrong"
    found = check_tokenizer(Sick(), CLIP)
    assert found.verdict == "wrong" and "49406 320 1125 539 320 2368 49407" in found.facts


def test_known_cosines_are_compared() -> None:
    """A known model whose texts have other cosines than the published ones is wrong."""
    found = check_texts(Sick(), CLIP)
    assert found.verdict == "wrong" and "published: 0.9361" in found.facts


def test_published_weights_are_known_by_their_digest() -> None:
    """A folder with a known model's weights is held against what is published for them, whatever it is called."""
    for known in KNOWN_MODELS:
        for pin in known.files:
            if pin.name == "model.safetensors" and pin.sha256:
                check = FileCheck(name=pin.name, status="unpinned", expected="", actual=pin.sha256)
                assert published_name([check]) == known.name
    assert published_name([FileCheck(name="model.safetensors", status="ok", expected="", actual="0" * 64)]) == ""
    assert published_name([]) == ""


def test_words_find_pictures_of_their_colour() -> None:
    """An encoder that knows colours finds all three drawings; one that does not is warned about."""
    assert check_words_find_pictures(Sick()).verdict == "ok"
    assert check_words_find_pictures(Sick("order")).facts.startswith("3 of 3")  # both turned round
    assert check_words_find_pictures(Sick("same")).verdict == "warning"


def test_the_test_pictures_are_what_they_say() -> None:
    """The drawing is not its own mirror image, and a shirt is mostly of its colour."""
    assert np.asarray(drawing()).tobytes() != np.asarray(ImageOps.mirror(drawing())).tobytes()
    red = np.asarray(shirt((200, 30, 30)))
    assert 0.2 < (red == (200, 30, 30)).all(axis=2).mean() < 0.6


def test_times_are_judged() -> None:
    """A slow load and a first encode that takes much longer than the second are slow; a quick one never is."""
    tower = FakeEncoder().tower
    assert judge_loading(0.4, tower).verdict == "ok" and judge_loading(8.0, tower).verdict == "slow"
    assert judge_speed("text", first_s=0.3, second_s=0.001).verdict == "ok"
    assert judge_speed("text", first_s=2.0, second_s=0.1).verdict == "slow"
    assert judge_speed("text", first_s=2.0, second_s=1.5).verdict == "ok"


@pytest.mark.parametrize(
    ("available", "limit", "verdict"),
    [
        (8 * GB, None, "ok"),
        (8 * GB, 2 * GB, "ok"),
        (8 * GB, GB // 2, "warning"),
        (GB // 2, None, "warning"),
        (None, None, "ok"),
        (None, 0, "warning"),
    ],
)
def test_memory_is_held_against_the_model(available: int | None, limit: int | None, verdict: str) -> None:
    """The smaller of what the machine has and what the container may use has to hold the model."""
    assert check_memory(available, limit, 600 * 10**6).verdict == verdict


def test_memory_limits_are_read(tmp_path: Path) -> None:
    """Both versions of cgroups, with and without a limit; /proc/meminfo; none of them there."""
    second = write(tmp_path / "v2", {"memory.max": b"1000\n", "memory.current": b"400\n"})
    free = write(tmp_path / "free", {"memory.max": b"max\n", "memory.current": b"400\n"})
    names = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    first = write(tmp_path / "v1", dict(zip(names, (b"900\n", b"1000\n"), strict=True)))
    unlimited = write(tmp_path / "v1u", dict(zip(names, (b"9223372036854771712\n", b"1000\n"), strict=True)))
    assert [memory_limit(root) for root in (second, free, first, unlimited, tmp_path)] == [600, None, 0, None, None]
    write(tmp_path, {"meminfo": b"MemTotal: 9 kB\nMemAvailable:    5 kB\n"})
    assert available_memory(tmp_path / "meminfo") == 5 * 1024
    assert available_memory(tmp_path / "gone") is None


def test_cores_are_judged() -> None:
    """All that the container allows is right; fewer and more are slow, and the remedy names the number."""
    assert check_cores(host=16, allowed=4, used=4).verdict == "ok"
    assert check_cores(host=16, allowed=4, used=2).verdict == "slow"
    more = check_cores(host=16, allowed=4, used=16)
    assert more.verdict == "slow" and "4" in more.remedy


def test_libraries_are_looked_for() -> None:
    """A library of the extra `local` that is not there is missing, HEIC's is optional; each remedy installs it."""
    assert check_libraries().verdict == check_heic().verdict == "ok"
    absent = check_libraries(lambda library: "" if library == "tokenizers" else "1.0")
    assert absent.verdict == "missing" and "tokenizers (not installed)" in absent.facts
    assert "lookalike[local]" in absent.remedy
    heic = check_heic(lambda _: "")
    assert heic.verdict == "warning" and "lookalike[heic]" in heic.remedy


def test_search_kernels_are_timed() -> None:
    """The scan is run for real, with the library that the extra brings."""
    found = check_search_speed()
    assert "numkong" in found.facts and " ms" in found.facts
    assert found.verdict in ("ok", "slow")


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    """A folder is tried by writing into it or into the one that it will be made in; nothing stays behind."""
    assert check_folder("x", tmp_path / "not" / "there" / "yet").verdict == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    found = check_folder("x", tmp_path / "file")
    assert found.verdict == "wrong" and found.remedy
    found = check_folder("x", tmp_path / "file", is_index=True)
    assert found.verdict == "ok" and "searched as it is" in found.remedy


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Tokens, and the passwords of proxies and mirrors, are in no answer."""
    for offline in (False, True):
        hub = HubSettings(
            endpoint="https://me:secret@mirror.example/hub",
            hub_cache=tmp_path,
            digest_cache=tmp_path,
            token="secret",
            offline=offline,
        )
        proxies = {"https": "http://me:secret@proxy.example:3128", "http": "me:secret@proxy.example", "no": "a,b"}
        found = check_network(hub, proxies)
        assert "secret" not in found.facts and "proxy.example:3128" in found.facts and "mirror.example" in found.facts
        assert ("nothing is fetched" in found.facts) == offline


def test_the_terminal_is_named() -> None:
    """What pictures are shown with here, and where they would be shown."""
    kitty = {"TERM": "xterm-kitty"}
    assert "kitty" in check_terminal(kitty, is_terminal=True).facts
    assert "not a terminal" in check_terminal(kitty, is_terminal=False).facts
    assert "--open" in check_terminal({"TERM": "xterm"}, is_terminal=True).remedy


def test_an_error_is_a_verdict() -> None:
    """Whatever a check raises becomes its verdict; what was found before it stays."""

    def failing(error: Exception) -> Iterator[Check]:
        yield Check(name="first", verdict="ok", facts="fine")
        raise error

    raised: list[tuple[Exception, str]] = [
        (MissingDependency("onnxruntime", extra="local"), "missing"),
        (StoreLocked("It is locked."), "wrong"),
        (ZeroDivisionError("by zero"), "wrong"),
    ]
    for error, verdict in raised:
        first, second = guarded("second", partial(failing, error))
        assert (first.name, second.name, second.verdict) == ("first", "second", verdict)
        assert str(error) in second.facts
    assert "report" in second.remedy  # the last one is a defect


def test_pictures_are_not_touched(config: Config, tmp_path: Path) -> None:
    """The doctor changes no picture and no file of the index."""
    indexed(config, tmp_path / "pictures")
    write(tmp_path / "pictures", {"new.png": picture("red")})
    kept = {path: path.read_bytes() for path in [*config.index.iterdir(), *(tmp_path / "pictures").iterdir()]}
    examined(config)
    assert {path: path.read_bytes() for path in kept} == kept
