"""The handler that we ship for Inference Endpoints: run for real where torch is (make parity), its reading anywhere."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import lookalike
from lookalike.app import Embedder
from lookalike.messages import Request
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.table import open_vectorizer
from lookalike.wire import Wire
from tests.doubles.toolkit import HANDLER, Toolkit, handler_module
from tests.pictures import noise

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(lookalike.__file__).parent / "models" / "tiny"
PATIENCE_S = 120.0
FACTS = {"handler": "lookalike-clip/1", "weights": "ab" * 32, "dimensions": 4, "preprocessing": {}, "dtype": "float32"}

HAS_TORCH = find_spec("torch") is not None and find_spec("transformers") is not None
for_real = pytest.mark.skipif(not HAS_TORCH, reason="torch and transformers are not here: make parity runs this")


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def saved(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def colourful(size: tuple[int, int] = (80, 50)) -> Image.Image:
    """Different in every corner, and smooth, so that a JPEG of it is near to it."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def sideways(image: Image.Image) -> bytes:
    """A photo whose EXIF data turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


class Means:
    """In the place of a CLIP: a picture's mean colour, a text's length."""

    def __init__(self, module: Any) -> None:
        self.module, self.facts = module, FACTS

    def texts(self, texts: list[str]) -> Iterator[Any]:
        yield from (self.module.Embedded([float(len(text)), 1.0, 0.0, 0.0], is_cut=len(text) > 77) for text in texts)

    def pictures(self, pictures: list[Image.Image]) -> Iterator[Any]:
        for picture in pictures:
            assert picture.mode == "RGB"
            yield self.module.Embedded([*np.asarray(picture).mean(axis=(0, 1)).tolist(), float(picture.width)])


@pytest.fixture(scope="module")
def module() -> Any:
    return handler_module()


@pytest.fixture
def handler(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handler with something simple in the place of a CLIP."""
    monkeypatch.setattr(module, "Clip", lambda _folder: Means(module))
    return module.EndpointHandler("")


def opened(url: str, *, timeout_s: float = 30.0) -> RemoteVectorizer:
    ref = ModelRef.parse(f"huggingface:{url}")
    assert ref is not None
    return open_vectorizer(ref, ProviderSettings(timeout_s=timeout_s))


def test_one_bad_input_spoils_no_other(handler: Any) -> None:
    """Of a batch the good ones have vectors; each of the others says what is wrong with it, in its place."""
    pictures = [
        base64_of(saved(colourful())),
        "https://example.org/a.png",
        base64_of(b"no picture"),
        base64_of(noise(3)[:500]),
        7,
        "",
        base64_of(noise(1)),
    ]
    answer = handler({"inputs": {"image": pictures}})
    assert [vector is None for vector in answer["embeddings"]] == [False, True, True, True, True, True, False]
    assert [(error["index"], error["kind"]) for error in answer["errors"]] == [
        (1, "InputError"),
        (2, "ImageError"),
        (3, "ImageError"),
        (4, "InputError"),
        (5, "ImageError"),
    ]
    assert "not fetched" in answer["errors"][0]["error"]
    assert answer["handler"] == "lookalike-clip/1"
    json.dumps(answer)


def test_budgets_are_checked_before_anything_is_decoded(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a picture or a text that is too large is told with what it has and what is allowed."""
    monkeypatch.setattr(module, "MAX_IMAGE_PIXELS", 80 * 50 - 1)
    with pytest.raises(module.InputError) as pixels:
        module.read_picture(base64_of(saved(colourful())), "apply")
    assert pixels.value.told.items() >= {"kind": "TooLarge", "actual": 4000, "limit": 3999}.items()
    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 90)
    with pytest.raises(module.InputError, match="90 are allowed"):
        module.read_picture(base64_of(bytes(93)), "apply")
    with pytest.raises(module.InputError, match="characters"):
        module.read_text("x" * (module.MAX_TEXT_CHARS + 1))


def test_photos_are_turned_as_it_says(handler: Any) -> None:
    """`orientation` is applied unless the request says otherwise, and the answer says which."""
    photo = {"inputs": {"image": [base64_of(sideways(colourful((80, 50))))]}}
    upright = handler(photo)
    assert (upright["orientation"], upright["embeddings"][0][3]) == ("apply", 80)
    lying = handler({**photo, "parameters": {"orientation": "ignore"}})
    assert (lying["orientation"], lying["embeddings"][0][3]) == ("ignore", 50)


def test_transparent_pixels_lie_on_white(module: Any) -> None:
    """What cannot be seen is white, whatever colour it hides."""
    for image in (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), Image.new("LA", (4, 4), (0, 0))):
        read = module.read_picture(base64_of(saved(image)), "apply")
        assert read.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [
        {"inputs": "a cat"},
        {"inputs": ["a cat"]},
        {"inputs": {}},
        {"inputs": {"text": ["a"], "image": []}},
        {"inputs": {"audio": ["a"]}},
        {"inputs": {"text": "a cat"}},
        {"inputs": {"text": []}},
        {"inputs": {"text": ["a"] * 257}},
        {"inputs": {"text": ["a"]}, "parameters": {"orientation": "sideways"}},
        {"inputs": {"text": ["a"]}, "parameters": 7},
    ],
)
def test_a_request_of_another_shape_is_refused(handler: Any, data: dict[str, Any]) -> None:
    """Anything but the contract is an error of the whole request, which the server makes a 400."""
    with pytest.raises(ValueError, match="must be"):
        handler(data)


def test_lookalike_speaks_with_it(handler: Any) -> None:
    """An address is recognised by the handler's answer; failures and cut texts come out where they belong."""
    with Toolkit(handler) as server:
        embedder = Embedder(opened(server.url))
        assert embedder.space.weights == f"huggingface:::{'ab' * 32}"
        found = embedder.embed_texts(["a cat", "x" * 100, "y" * 40_000], on_error="skip")
        assert [failure.kind for failure in found.failures] == ["TooLarge"]
        assert found.warnings == ("texts[1]: longer than the model reads; its end was left out.",)
        assert len(embedder.embed_images([saved(colourful()), noise(2)])) == 2


@pytest.fixture(scope="module", params=["tiny", "random"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP: the built-in one, and one with random weights as transformers writes it."""
    if request.param == "tiny":
        return TINY
    script = request.getfixturevalue("shared") / "peers" / "make_tiny_clip.py"
    made = tmp_path_factory.mktemp("models") / "random"
    subprocess.run([sys.executable, script, made], check=True, capture_output=True, timeout=PATIENCE_S)
    return made


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    """The address of the handler with that model, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.doubles.toolkit", str(HANDLER), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=PATIENCE_S) == 0


TEXTS = ("a cat", "", "Two dogs, and 7 mice!", "the sea " * 60)


def awkward() -> list[bytes]:
    """Pictures that are often embedded wrongly."""
    whole = colourful((120, 70))
    see_through = whole.convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(whole.size))
    return [
        saved(whole),
        saved(whole, "JPEG", quality=90),
        sideways(whole),
        saved(see_through),
        saved(whole.convert("L")),
        saved(whole.convert("P")),
        saved(whole.convert("CMYK"), "JPEG", quality=90),
        saved(whole, "WEBP", lossless=True),
        saved(whole.resize((2000, 40))),
        saved(whole.resize((3, 3))),
        *(noise(seed, size=(33, 47)) for seed in range(30)),
    ]


@for_real
def test_its_vectors_are_those_of_the_model_here(endpoint: str, folder: Path) -> None:
    """Texts and awkward pictures have the vectors of the same folder opened by lookalike, to 1e-5."""
    there, here = Embedder(opened(endpoint)), Embedder.open(str(folder))
    texts = [embedder.embed_texts(TEXTS) for embedder in (there, here)]
    pictures = [embedder.embed_images(awkward()) for embedder in (there, here)]
    for name, (theirs, ours) in (("texts", texts), ("pictures", pictures)):
        gap = np.abs(theirs.values - ours.values).max(axis=1)
        print(f"{folder.name}, {len(gap)} {name}: greatest difference {gap.max():.1e}")
        assert gap.max() < 1e-5, gap
    assert texts[0].warnings == texts[1].warnings
    assert len(texts[0].warnings) == 1


@for_real
def test_it_says_whose_vectors_they_are(endpoint: str, folder: Path) -> None:
    """Every answer names the model, its weights, the preprocessing, the type of numbers and the orientation."""
    said = asked(endpoint, {"inputs": {"text": ["a cat"]}})
    here = Embedder.open(str(folder)).space
    assert said["weights"] == handler_module().weights_digest(folder)
    assert (said["dimensions"], said["model"], said["dtype"]) == (here.dim, folder.name, "float32")
    assert said["preprocessing"].keys() >= {"size", "crop_size", "resample", "image_mean", "image_std", "do_resize"}
    assert np.isclose(np.linalg.norm(said["embeddings"][0]), 1, atol=1e-6)


@for_real
def test_orientation_is_a_matter_of_the_vector(endpoint: str) -> None:
    """A photo that is turned upright has the upright picture's vector, and one that is not has another."""
    photo = sideways(colourful((120, 70)))
    upright = ImageOps.exif_transpose(Image.open(BytesIO(photo)))
    applied, expected = (one(endpoint, data, "apply") for data in (photo, saved(upright)))
    assert applied @ expected > 1 - 1e-6
    assert one(endpoint, photo, "ignore") @ expected < 1 - 1e-4


@for_real
def test_a_copy_elsewhere_is_of_the_same_space(endpoint: str, folder: Path, tmp_path: Path, module: Any) -> None:
    """The space is that of the weights: a copy of the folder behind another address has it too."""
    copied = shutil.copytree(folder, tmp_path / "copied")
    with Toolkit(module.EndpointHandler(str(copied))) as server:
        assert Embedder(opened(server.url)).space.key == Embedder(opened(endpoint)).space.key


def asked(url: str, body: dict[str, Any]) -> Any:
    wire = Wire(url, host="endpoint", headers={})
    until = time.monotonic() + PATIENCE_S
    answer = wire.ask(Request("POST", "/", json.dumps(body).encode()), lambda: until - time.monotonic())
    wire.close()
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def one(url: str, data: bytes, orientation: str) -> Any:
    body = {"inputs": {"image": [base64_of(data)]}, "parameters": {"orientation": orientation}}
    return np.array(asked(url, body)["embeddings"][0])
