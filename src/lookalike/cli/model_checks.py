"""What `lookalike doctor` finds out about the model and the index: each check looks at the real thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from lookalike import app
from lookalike.cli.checks import Check, guarded
from lookalike.cli.output import amount, counted
from lookalike.config import Config
from lookalike.errors import StoreCorrupt, StoreError, StoreNotFound
from lookalike.ingest import DEAD_SHARE
from lookalike.known import KNOWN_MODELS, known_model
from lookalike.places import Place
from lookalike.ports import Encoder
from lookalike.spaces import REQUIRED_COSINE, Space, Tower
from lookalike.types import Rows
from lookalike.weights import local as weights
from lookalike.weights.local import FileCheck, ModelFolder

SENTENCE = "a photo of a cat"

KNOWN_IDS: Mapping[str, tuple[int, ...]] = {
    # transformers, tests/models/clip; huggingface.co/docs/transformers/model_doc/clip
    "openai/clip-vit-base-patch32": (49406, 320, 1125, 539, 320, 2368, 49407),
    # bert-base-uncased's vocab.txt: line numbers of [CLS] a photo of a cat [SEP]
    "sentence-transformers/all-MiniLM-L6-v2": (101, 1037, 6302, 1997, 1037, 4937, 102),
}
"""The ids of SENTENCE."""

KNOWN_COSINES: Mapping[str, tuple[tuple[str, str, float], ...]] = {
    # From float32 vectors of the published weights, computed by an independent implementation in numpy.
    "openai/clip-vit-base-patch32": (("a cat", "a dog", 0.93611), ("a cat", "a diagram", 0.84834)),
    # huggingface/text-embeddings-inference, backends/candle/tests
    "sentence-transformers/all-MiniLM-L6-v2": (("What is Deep Learning?", "Deep Learning is...", 0.67438),),
}
"""Pairs of texts and the cosine of their vectors."""

COSINE_TOLERANCE = {"exact": 1e-3, "bf16": 3e-3, "int8": 1e-2}
UNIT_TOLERANCE = 1e-5
BATCH_TOLERANCE = 1e-4
"""Most that a component may differ between a picture alone and the same in a batch (float32 sums in another order)."""

SLOW_LOAD_S = 2.0
SLOW_FIRST_S, SLOW_FIRST_RATIO = 1.0, 5.0

PREPARED = (
    "The first use on a machine prepares the model and keeps it in the cache folder: run this again. If it stays slow, "
    "put LOOKALIKE_CACHE_DIR on a fast local disk."
)

SHIRTS = {"red": (200, 30, 30), "green": (30, 150, 50), "blue": (30, 60, 190)}


def model_of(config: Config) -> str:
    """The model that commands will use: the configured one, else the index's own, else what is on this machine.

    Of a bridge, the model that reads its words.
    """
    if config.model != "auto":
        return app.model_behind(config.model)
    try:
        with closing(app.open_store(config.index)) as store:
            return store.space.model
    except StoreError:  # told by `check_index`
        return app.choose_model(config)


def weights_bytes(model: str, config: Config) -> int:
    """Size of a model's weights, as far as it is known without fetching it."""
    if app.is_hosted(model):
        return 0
    folder = weights.locate(model, config.hub)
    if folder is not None:
        return (folder.path / weights.WEIGHTS_FILE).stat().st_size
    known = known_model(model)
    return known.n_bytes if known is not None else 0


def check_model(model: str, config: Config) -> Iterator[Check]:
    """Whether the model is here and whole, loads, and computes what it should. Nothing is fetched, and nothing sent."""
    if app.is_hosted(model):
        yield from guarded("model", lambda: _check_hosted(model, config))
        return
    folder = weights.locate(model, config.hub)
    if folder is None:
        remedy = f"Fetch it: lookalike models pull {model}"
        yield Check(name="model", verdict="missing", facts=f"{model} is not on this machine", remedy=remedy)
        return
    yield _presence(model, folder, config)
    files = weights.verify(folder)
    yield _integrity(folder, files)
    if all(file.status in ("ok", "unpinned") for file in files):
        yield from guarded("loading", lambda: _check_encoder(model, published_name(files), config))


def _check_hosted(model: str, config: Config) -> Iterator[Check]:
    app.open_vectorizer(replace(config, model=model, fallback=()))
    yield Check(name="model", verdict="ok", facts=f"{model} is hosted, and what it needs is set; it was not asked")


def published_name(files: Sequence[FileCheck]) -> str:
    """The known model whose weights these are, wherever they lie; empty if they are of none."""
    actual = {file.actual for file in files if file.name == weights.WEIGHTS_FILE}
    pins = ((known.name, pin.sha256) for known in KNOWN_MODELS for pin in known.files)
    return next((name for name, sha256 in pins if sha256 in actual), "")


def _presence(model: str, folder: ModelFolder, config: Config) -> Check:
    facts = f"{folder.name}, {amount(weights_bytes(model, config))}, in {folder.path}"
    if config.model == "auto" and model == app.BUILT_IN:
        remedy = "For your own photos CLIP is far better: lookalike models pull clip"
        return Check(name="model", verdict="warning", facts=f"{facts}; the built-in one", remedy=remedy)
    return Check(name="model", verdict="ok", facts=facts)


def _integrity(folder: ModelFolder, files: tuple[FileCheck, ...]) -> Check:
    bad = [f"{file.name}: {file.status}" for file in files if file.status not in ("ok", "unpinned")]
    pinned = sum(file.status == "ok" for file in files)
    if bad:
        remedy = f"lookalike models pull {folder.name} fetches what is damaged again."
        return Check(name="model files", verdict="wrong", facts="; ".join(bad), remedy=remedy)
    facts = f"{pinned} of {len(files)} files have their published digest, the others have none to compare"
    if pinned == len(files):
        facts = f"all {pinned} files have their published digest"
    if not pinned:
        known = published_name(files)
        facts = f"{len(files)} files" + (f" with the weights of {known}" if known else "; no digests are published")
    return Check(name="model files", verdict="ok", facts=facts)


def _check_encoder(model: str, published: str, config: Config) -> Iterator[Check]:
    began_s = time.perf_counter()
    encoder = app.open_encoder(replace(config, model=model))
    encoder.tower.require_parity()
    yield judge_loading(time.perf_counter() - began_s, encoder.tower)
    modalities = encoder.tower.modalities
    if "text" in modalities:
        yield from guarded("tokenizer", lambda: [check_tokenizer(encoder, published)])
        yield from guarded("text", lambda: _check_text(encoder, published))
    if "image" in modalities:
        yield from guarded("picture", lambda: _check_picture(encoder))
    if "text" in modalities and "image" in modalities:
        yield from guarded("words and pictures", lambda: [check_words_find_pictures(encoder)])
    yield from guarded("index and model", lambda: _check_same_space(config, encoder.tower.space))


def _check_text(encoder: Encoder, published: str) -> Iterator[Check]:
    yield _check_speed("text", lambda: embed_texts(encoder, [SENTENCE]))
    yield from guarded("text canary", lambda: [check_texts(encoder, published)])


def _check_picture(encoder: Encoder) -> Iterator[Check]:
    picture = drawing()
    yield _check_speed("picture", lambda: embed_images(encoder, [picture]))
    yield from guarded("picture canary", lambda: [check_pictures(encoder)])


def judge_loading(taken_s: float, tower: Tower) -> Check:
    """Whether the model opened in a reasonable time; its towers are loaded by the first text and the first picture."""
    facts = f"{taken_s:.2f} s, {tower.precision} on {tower.runtime}"
    if tower.precision != "exact":
        facts += f" (cosine to exact at least {tower.cosine:.5f})"
    if taken_s > SLOW_LOAD_S:
        return Check(name="loading", verdict="slow", facts=facts, remedy=PREPARED)
    return Check(name="loading", verdict="ok", facts=facts)


def _check_speed(what: str, encode: Callable[[], Rows]) -> Check:
    times_s = []
    for _ in range(2):
        began_s = time.perf_counter()
        encode()
        times_s.append(time.perf_counter() - began_s)
    return judge_speed(what, first_s=times_s[0], second_s=times_s[1])


def judge_speed(what: str, *, first_s: float, second_s: float) -> Check:
    """Whether the first encode, which loads the tower, took much longer than the second."""
    facts = f"first {first_s * 1000:,.0f} ms with loading, then {second_s * 1000:,.0f} ms"
    if first_s > max(SLOW_FIRST_S, SLOW_FIRST_RATIO * second_s):
        return Check(name=what, verdict="slow", facts=facts, remedy=PREPARED)
    return Check(name=what, verdict="ok", facts=facts)


def embed_texts(encoder: Encoder, texts: list[str]) -> Rows:
    """(n, dim) unit rows of texts."""
    return encoder.encode_texts([encoder.prepare_text(text) for text in texts])


def embed_images(encoder: Encoder, images: list[Image.Image]) -> Rows:
    """(n, dim) unit rows of pictures."""
    return encoder.encode_images(np.stack([encoder.prepare_image(image) for image in images]))


def check_tokenizer(encoder: Encoder, published: str) -> Check:
    """Whether a fixed sentence has its published ids or, where none are published, sensible ones."""
    ids = tuple(encoder.prepare_text(SENTENCE).ids.tolist())
    facts = f"{SENTENCE!r} is {' '.join(map(str, ids))}"
    expected = KNOWN_IDS.get(published)
    other = tuple(encoder.prepare_text("a photo of a dog").ids.tolist())
    if expected is not None and ids != expected:
        facts += f", and should be {' '.join(map(str, expected))}"
    elif len(ids) > 2 and ids[0] == other[0] and ids[-1] == other[-1] and ids != other:
        return Check(name="tokenizer", verdict="ok", facts=facts + (", as published" if expected else ""))
    else:
        facts += f", and 'a photo of a dog' is {' '.join(map(str, other))}"
    name = encoder.tower.space.model
    remedy = f"The tokenizer's files do not belong to this model: fetch it again, lookalike models pull {name}"
    return Check(name="tokenizer", verdict="wrong", facts=facts, remedy=remedy)


def check_texts(encoder: Encoder, published: str) -> Check:
    """Whether texts have unit vectors, the same alone as in a batch, and the published cosines where there are some."""
    texts = ["a cat", "a red dress hanging on a white wall", ""]
    faults = _faults(embed_texts(encoder, texts), [embed_texts(encoder, [text]) for text in texts], encoder)
    tolerance = COSINE_TOLERANCE[encoder.tower.precision]
    known = KNOWN_COSINES.get(published, ())
    for one, other, expected in known:
        rows = embed_texts(encoder, [one, other])
        cosine = float(np.einsum("d,d->", rows[0], rows[1]))
        if abs(cosine - expected) > tolerance:
            faults.append(f"cosine of {one!r} and {other!r} is {cosine:.4f}, published: {expected:.4f}")
    good = "unit vectors, the same alone as in a batch" + (", cosines as published" if known else "")
    return _canary("text canary", faults, good)


def check_pictures(encoder: Encoder) -> Check:
    """Whether pictures have unit vectors, the same alone as in a batch, and are nearest to their mirror images."""
    picture = drawing()
    images = [picture, ImageOps.mirror(picture), stripes()]
    rows = embed_images(encoder, images)
    faults = _faults(rows, [embed_images(encoder, [image]) for image in images], encoder)
    mirrored, other = (float(np.einsum("d,d->", rows[0], row)) for row in rows[1:])
    if mirrored <= other:
        faults.append(f"a picture is nearer to another ({other:.3f}) than to its own mirror image ({mirrored:.3f})")
    good = f"unit vectors, the same alone as in a batch; mirror image {mirrored:.2f}, another picture {other:.2f}"
    return _canary("picture canary", faults, good)


def check_words_find_pictures(encoder: Encoder) -> Check:
    """Whether "a red t-shirt" is nearest to the red one of three drawings of t-shirts, and so on."""
    texts = embed_texts(encoder, [f"a {colour} t-shirt" for colour in SHIRTS])
    images = embed_images(encoder, [shirt(rgb) for rgb in SHIRTS.values()])
    nearest = np.einsum("td,id->ti", texts, images).argmax(axis=1)
    found = int((nearest == np.arange(len(SHIRTS))).sum())
    facts = f"{found} of {len(SHIRTS)} drawings found by their names"
    if found == len(SHIRTS):
        return Check(name="words and pictures", verdict="ok", facts=facts)
    remedy = "This model may not know drawings. Try it on your own pictures before you rely on it."
    return Check(name="words and pictures", verdict="warning", facts=facts, remedy=remedy)


def shirt(rgb: tuple[int, int, int]) -> Image.Image:
    """A t-shirt in one colour on light grey."""
    image = Image.new("RGB", (224, 224), (225, 225, 222))
    half = [(100, 50), (75, 40), (24, 80), (49, 112), (69, 97), (69, 192)]
    outline = half + [(224 - x, y) for x, y in reversed(half)]
    ImageDraw.Draw(image).polygon(outline, fill=rgb)
    return image


def drawing() -> Image.Image:
    """A red disc beside a blue bar on white: not its own mirror image."""
    image = Image.new("RGB", (224, 224), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 60, 120, 160), fill=(200, 30, 30))
    draw.rectangle((150, 30, 190, 200), fill=(30, 30, 200))
    return image


def stripes() -> Image.Image:
    """Green and black stripes."""
    image = Image.new("RGB", (224, 224), "black")
    draw = ImageDraw.Draw(image)
    for y in range(0, 224, 32):
        draw.rectangle((0, y, 224, y + 15), fill=(30, 170, 60))
    return image


def _faults(batch: Rows, single: list[Rows], encoder: Encoder) -> list[str]:
    alone = np.concatenate(single)
    if not (np.isfinite(batch).all() and np.isfinite(alone).all()):
        return ["some numbers are not finite"]
    faults = []
    norms = np.linalg.norm(batch, axis=1)
    if abs(norms - 1).max() > UNIT_TOLERANCE:
        faults.append(f"vectors of length {norms.min():.4f} to {norms.max():.4f} instead of 1")
    difference = float(abs(batch - alone).max())
    cosine = float(np.einsum("nd,nd->n", batch, alone).min())
    if cosine < REQUIRED_COSINE or (encoder.tower.precision == "exact" and difference > BATCH_TOLERANCE):
        faults.append(f"alone and in a batch the vectors differ by {difference:.1e} (cosine {cosine:.5f})")
    return faults


def _canary(name: str, faults: list[str], good: str) -> Check:
    if not faults:
        return Check(name=name, verdict="ok", facts=good)
    remedy = "The vectors cannot be trusted here: remove the cache folder's `compiled`, and report this if it stays."
    return Check(name=name, verdict="wrong", facts="; ".join(faults), remedy=remedy)


def _check_same_space(config: Config, space: Space) -> Iterator[Check]:
    try:
        with closing(app.open_store(config.index)) as store:
            held = store.space
    except StoreError:  # told by `check_index`
        return
    if held.key == space.key:
        yield Check(name="index and model", verdict="ok", facts=f"both {space.id}")
    else:
        remedy = "Leave --model and LOOKALIKE_MODEL out to use the index's own model, or make another index (--index)."
        facts = f"the index holds {held.id}, the model makes {space.id}"
        yield Check(name="index and model", verdict="wrong", facts=facts, remedy=remedy)


def check_index(place: Place) -> Check:
    """Whether the index opens and is whole: in a folder every byte, in a database every item."""
    try:
        with closing(app.open_store(place)) as store:
            store.check()
            stats = store.stats()
    except StoreNotFound:
        remedy = "Make one: lookalike index FOLDER"
        return Check(name="index", verdict="warning", facts=f"there is none in {place} yet", remedy=remedy)
    except StoreCorrupt as error:
        remedy = "Move the index away and run `lookalike index` again: the pictures themselves are untouched."
        return Check(name="index", verdict="wrong", facts=str(error), remedy=remedy)
    whole = "every byte as written" if isinstance(place, Path) else "every item with its vector"
    facts = f"{counted(stats.items, 'item')} of {counted(stats.contents, 'picture')}, {amount(stats.n_bytes)}, {whole}"
    facts += f", in {place}; {stats.dead_slots:,} vectors that no item uses"
    if stats.dead_slots > DEAD_SHARE * stats.contents:
        remedy = "The next `lookalike index` gives their space back."
        return Check(name="index", verdict="slow", facts=facts, remedy=remedy)
    return Check(name="index", verdict="ok", facts=facts)
