"""Which models become graphs, what is refused and why, and how texts become batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime import InferenceSession
from safetensors.numpy import load_file, save_file

from lookalike.app import Embedder
from lookalike.encoders.architecture import ClipText, Stack, read_architecture
from lookalike.encoders.batches import MAX_BATCH_TOKENS, plan, pooled_part, text_feed
from lookalike.encoders.compiled import processor
from lookalike.encoders.graph_ops import GraphWriter
from lookalike.encoders.local import LocalEncoder, open_encoder
from lookalike.encoders.quantise import Int8Product, WeightZero, weight_zero
from lookalike.errors import CorruptModel, InputError, LookalikeError, ModelNotFound, UnsupportedModel
from lookalike.types import Rows, Tokens
from tests.checkpoints import CLIP_TOKENS, END_ID, random_pixels, write_bert, write_clip, write_multilingual


def open_model(folder: Path) -> LocalEncoder:
    return open_encoder(folder, name=folder.name, weights_sha256="0" * 64, cache_dir=folder.parent / "compiled")


def change_json(path: Path, changes: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "siglip"}, "'model_type' in config.json is 'siglip'"),
        ({"model_type": None}, "'model_type'"),
        ({"projection_dim": 0}, "'projection_dim'"),
        ({"text_config_dict": {"hidden_act": "relu"}}, "'hidden_act' in config.json is 'relu'.*gelu"),
        ({"text_config_dict": {"num_attention_heads": 5}}, "'num_attention_heads'.*not a multiple"),
        ({"text_config_dict": {"layer_norm_eps": "tiny"}}, "'layer_norm_eps'"),
        ({"vision_config_dict": {"num_channels": 4}}, "'num_channels'"),
        ({"vision_config_dict": {"patch_size": 33}}, "'patch_size'.*holds no such patch"),
        ({"vision_config": [1]}, "'vision_config'.*must be an object"),
    ],
)
def test_an_unsupported_clip_is_refused(config: Mapping[str, Any], says: str, tmp_path: Path) -> None:
    """An architecture or option that is not built in names the file, the key, the value and what is supported."""
    with pytest.raises(UnsupportedModel, match=says) as caught:
        open_model(write_clip(tmp_path / "model", config=config))
    assert (caught.value.model, caught.value.file) == ("model", "config.json")


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"position_embedding_type": "relative_key"}, "absolute"),
        ("config.json", {"is_decoder": True}, "decoder"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pooling_mode_cls_token.*Only the mean"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
        ("sentence_bert_config.json", {"max_seq_length": "long"}, "'max_seq_length'"),
    ],
)
def test_an_unsupported_sentence_model_is_refused(
    file: str, changes: Mapping[str, Any], says: str, tmp_path: Path
) -> None:
    """Only absolute positions and mean pooling are built in; anything else names its file."""
    folder = write_bert(tmp_path / "model")
    change_json(folder / file, changes)
    with pytest.raises(UnsupportedModel, match=says) as caught:
        open_model(folder)
    assert caught.value.file == file


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ([{"type": "sentence_transformers.models.LSTM", "path": "2_LSTM"}], "'LSTM' in '2_LSTM'.*not supported"),
        ([{"type": "sentence_transformers.models.Dense", "path": "3_Dense"}], "'Dense' in '3_Dense'"),
        ([{"type": "sentence_transformers.models.Transformer", "path": "0_BERT"}], "'Transformer' in '0_BERT'"),
        ([{}], "'None' in ''"),
        ([{"path": None}], "'None' in None"),
    ],
)
def test_other_modules_are_refused(modules: list[dict[str, str | None]], says: str, tmp_path: Path) -> None:
    """What sentence-transformers would do to a vector beside what is built in is named, not left out."""
    folder = write_bert(tmp_path / "model")
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(UnsupportedModel, match=says):
        open_model(folder)


@pytest.mark.parametrize("damage", ['{"type": "a"}', "[1]", "[" * 100_000, "x"])
def test_a_damaged_list_of_modules_is_said(damage: str, tmp_path: Path) -> None:
    """A list that cannot be read is an error, whatever is wrong with it."""
    folder = write_bert(tmp_path / "model")
    (folder / "modules.json").write_text(damage, encoding="utf-8")
    with pytest.raises(CorruptModel, match=r"modules\.json.*fetch the model again"):
        open_model(folder)


def test_the_list_of_modules_decides_about_the_dense_layer(tmp_path: Path) -> None:
    """One that stands there and is not asked for is left out; the length alone is always the same."""
    folder = write_multilingual(tmp_path / "model")
    places = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in places.items()]
    dims = []
    for listed in (modules, modules[:2]):
        (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
        dims.append(open_model(folder).tower.space.dim)
    assert dims == [32, 64]


def test_a_prompt_of_the_models_own_is_refused(tmp_path: Path) -> None:
    """Words that sentence-transformers would put before every text are not left out; names alone are no matter."""
    folder = write_bert(tmp_path / "model")
    path = folder / "config_sentence_transformers.json"
    change_json(path, {"prompts": {"query": "find: "}, "default_prompt_name": None})
    open_model(folder)
    change_json(path, {"default_prompt_name": "query"})
    with pytest.raises(UnsupportedModel, match=r"'default_prompt_name'.*'query'"):
        open_model(folder)


def test_a_text_is_put_into_lower_case_where_the_model_says_so(tmp_path: Path) -> None:
    """As sentence-transformers does it, also before a tokenizer that knows capitals; it is another recipe."""
    folder = write_multilingual(tmp_path / "model")
    usual = open_model(folder)
    change_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    lowering = open_model(folder)
    assert list(usual.prepare_text("A Cat").ids) != list(usual.prepare_text("a cat").ids)
    assert list(lowering.prepare_text("A Cat").ids) == list(usual.prepare_text("a cat").ids)
    assert lowering.tower.fingerprint != usual.tower.fingerprint
    change_json(folder / "sentence_bert_config.json", {"do_lower_case": "yes"})
    with pytest.raises(UnsupportedModel, match="'do_lower_case'"):
        open_model(folder)


def test_the_length_of_a_sentence_model(tmp_path: Path) -> None:
    """sentence_bert_config.json says where a text is cut, the position table where it says nothing."""
    folder = write_bert(tmp_path / "model")
    change_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    assert read_architecture(folder).text.max_tokens == 40
    change_json(folder / "sentence_bert_config.json", {"max_seq_length": 12})
    assert read_architecture(folder).text.max_tokens == 12
    assert len(open_model(folder).prepare_text("a long text that goes on and on").ids) == 12


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("2_Dense/config.json", {"bias": True}, "'bias'.*without a bias"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"}, "Tanh.*identity"),
        ("2_Dense/config.json", {"in_features": 9}, "'in_features'"),
        ("config.json", {"activation": "relu"}, "'activation' in config.json is 'relu'"),
        ("config.json", {"n_heads": 5}, "'n_heads'.*not a multiple"),
    ],
)
def test_an_unsupported_dense_layer_is_refused(
    file: str, changes: Mapping[str, Any], says: str, tmp_path: Path
) -> None:
    """A dense layer without bias and activation is built in; what differs names its file and DistilBERT's own key."""
    folder = write_multilingual(tmp_path / "model")
    change_json(folder / file, changes)
    with pytest.raises(UnsupportedModel, match=says) as caught:
        open_model(folder)
    assert caught.value.file == file


def test_the_dense_layer_is_part_of_the_model(tmp_path: Path) -> None:
    """Other weights in it are another space; without its file there is no model."""
    folder = write_multilingual(tmp_path / "model")
    first = open_model(folder).tower.space
    assert first.dim == 32
    save_file({"linear.weight": np.ones((32, 64), np.float32)}, folder / "2_Dense" / "model.safetensors")
    assert open_model(folder).tower.space.key != first.key
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"holds no 2_Dense/model\.safetensors"):
        open_model(folder)


@pytest.mark.parametrize(
    ("write", "changes"),
    [
        (write_clip, {"text_config_dict": {"num_attention_heads": 2}}),
        (write_clip, {"vision_config_dict": {"num_attention_heads": 8}}),
        (write_clip, {"vision_config_dict": {"layer_norm_eps": 1e-3}}),
        (write_clip, {"vision_config_dict": {"hidden_act": "gelu"}}),
        (write_bert, {"num_attention_heads": 1}),
        (write_bert, {"layer_norm_eps": 1e-5}),
        (write_multilingual, {"n_heads": 1}),
    ],
)
def test_what_the_weights_do_not_say_is_part_of_the_model(
    write: Callable[[Path], Path], changes: Mapping[str, Any], tmp_path: Path
) -> None:
    """A config.json that makes other vectors of the same weights is another space, and another fingerprint."""
    folder = write(tmp_path / "model")
    first = open_model(folder).tower
    change_json(folder / "config.json", changes)
    other = open_model(folder).tower
    assert other.space.key != first.space.key
    assert other.fingerprint != first.fingerprint


@pytest.mark.parametrize("tower", ["text", "vision"])
def test_a_model_has_all_its_blocks(tower: str, tmp_path: Path) -> None:
    """A config.json that leaves blocks of the checkpoint out is not this checkpoint's."""
    folder = write_clip(tmp_path / "model", config={f"{tower}_config_dict": {"num_hidden_layers": 2}})
    encoder = open_model(folder)
    with pytest.raises(CorruptModel, match=r"more blocks '.*encoder\.layers' than the 2 that its config\.json"):
        if tower == "text":
            encoder.encode_texts([encoder.prepare_text("a cat")])
        else:
            encoder.encode_images(random_pixels(1))


def test_published_models_keep_their_spaces(tmp_path: Path) -> None:
    """CLIP ViT-B/32, MiniLM and the built-in model are told by their weights alone, as they always were."""
    clip = write_clip(tmp_path / "clip")
    (clip / "config.json").write_text('{"model_type": "clip"}', encoding="utf-8")
    (clip / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    minilm = write_bert(tmp_path / "minilm", config={"hidden_size": 384, "num_attention_heads": 12})
    assert [open_model(folder).tower.space.weights for folder in (clip, minilm)] == ["0" * 64] * 2
    assert Embedder.open("tiny").space.id == "tiny-128@a24c94713a5e"


def test_positions_are_not_stretched(tmp_path: Path) -> None:
    """A preprocessing that makes larger pictures than the model has positions for is refused."""
    folder = write_clip(tmp_path / "model")
    change_json(folder / "preprocessor_config.json", {"crop_size": {"height": 48, "width": 48}})
    with pytest.raises(UnsupportedModel, match=r"32 x 32 pixels.*not stretched"):
        open_model(folder)


def test_the_preprocessing_may_stand_in_the_processors_file(tmp_path: Path) -> None:
    """As transformers 5 saves it, with or without an older file beside it; it is the same model, and the same space."""
    folder = write_clip(tmp_path / "model")
    usual = open_model(folder).tower
    settings = json.loads((folder / "preprocessor_config.json").read_bytes())
    nested = {
        "image_processor": {**settings, "image_processor_type": "CLIPImageProcessor", "data_format": "channels_first"}
    }
    (folder / "processor_config.json").write_text(json.dumps({**nested, "processor_class": "CLIPProcessor"}))
    change_json(folder / "preprocessor_config.json", {"do_normalize": False})
    assert open_model(folder).tower == usual
    (folder / "preprocessor_config.json").unlink()
    assert open_model(folder).tower == usual
    (folder / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    with pytest.raises(ModelNotFound, match="preprocessor_config"):
        open_model(folder)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """A tokenizer whose end token is not the one that config.json names would pool at the wrong place."""
    with pytest.raises(CorruptModel, match=f"with token {END_ID}.*ends with 17") as caught:
        open_model(write_clip(tmp_path / "model", end_id=17)).prepare_text("a cat")
    assert caught.value.file == "tokenizer.json"


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "vocab.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    """Without any one of its files, a model is not found, and the message says which file is missing."""
    folder = write_clip(tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(ModelNotFound, match=name):
        open_model(folder).encode_texts([Tokens(np.array([END_ID]))])


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_configuration_is_corrupt(name: str, content: bytes, tmp_path: Path) -> None:
    """A configuration that is not a JSON object is a CorruptModel that names it."""
    folder = write_clip(tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptModel, match=name):
        open_model(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text_projection.weight": None}, "lacks the tensor 'text_projection.weight'"),
        (
            {"text_projection.weight": np.ones((7, 64), np.float32)},
            r"shape \(7, 64\) where config.json says \(32, 64\)",
        ),
        ({"text_model.final_layer_norm.weight": np.full(64, np.nan, np.float32)}, "not finite"),
        ({"text_projection.weight": np.full((32, 64), 3e38, np.float32)}, "vectors that are not finite"),
    ],
)
def test_an_unfit_checkpoint_is_corrupt(changes: Mapping[str, Any], says: str, tmp_path: Path) -> None:
    """A checkpoint that does not fit config.json, or gives no finite vectors, is refused; nothing of it is kept."""
    folder = write_clip(tmp_path / "model")
    arrays = {**load_file(folder / "model.safetensors"), **changes}
    save_file({k: v for k, v in arrays.items() if v is not None}, folder / "model.safetensors")
    encoder = open_model(folder)
    with pytest.raises(CorruptModel, match=says):
        encoder.encode_texts([encoder.prepare_text("a")])
    assert [path for path in (tmp_path / "compiled").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    "ids", [[], [END_ID + 1], [-1, END_ID], [3] * (CLIP_TOKENS + 1)], ids=["none", "too high", "negative", "too many"]
)
def test_foreign_tokens_are_refused(ids: list[int], tmp_path: Path) -> None:
    """Token ids that are not this model's are an InputError, not a crash or a wrong vector."""
    encoder = open_model(write_clip(tmp_path / "model"))
    with pytest.raises(InputError, match="prepare_text"):
        encoder.encode_texts([Tokens(np.array(ids, np.int64))])


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((3, 32, 32), np.float32), np.zeros((1, 3, 32, 31), np.float32), np.zeros((1, 3, 32, 32), np.float64)],
    ids=["no batch", "shape", "type"],
)
def test_foreign_pixels_are_refused(pixels: Any, tmp_path: Path) -> None:
    """Pixels of another shape or type are an InputError that says what the model reads."""
    encoder = open_model(write_clip(tmp_path / "model"))
    with pytest.raises(InputError, match=r"float32 of shape \(n, 3, 32, 32\)"):
        encoder.encode_images(pixels)


def text_tower(end_id: int | None) -> ClipText:
    stack = Stack(width=4, layers=1, heads=1, inner=4, activation="gelu", epsilon=1e-5)
    return ClipText(stack=stack, vocabulary=100, max_tokens=10, dim=4, end_id=end_id)


@pytest.mark.parametrize(
    ("end_id", "ids", "kept"),
    [(9, [1, 5, 9], 3), (9, [1, 9, 5, 9], 2), (None, [1, 5, 9], 3), (None, [1, 9, 5, 9], 2), (None, [1, 5, 99, 9], 3)],
)
def test_clip_reads_up_to_its_pooled_token(end_id: int | None, ids: list[int], kept: int) -> None:
    """The first end token is pooled (in original configurations the greatest id), so what follows it is left out."""
    assert pooled_part(np.array(ids), text_tower(end_id)).tolist() == ids[:kept]


def test_a_plan_holds_every_text_once() -> None:
    """Texts of any lengths are split into runs of bounded size, similar lengths together, none left out."""
    lengths = np.random.default_rng(0).integers(1, 78, 300).tolist()
    runs = list(plan(lengths))
    assert sorted(place for run in runs for place in run) == list(range(300))
    assert max(sum(lengths[place] for place in run) for run in runs) <= MAX_BATCH_TOKENS
    assert [lengths[place] for run in runs for place in run] == sorted(lengths)
    assert list(plan([])) == []
    assert list(plan([10_000])) == [[0]]


def test_a_batch_has_no_padding() -> None:
    """All tokens stand behind each other; spreading them into sequences and gathering them again loses none."""
    feed = text_feed([np.array([7, 9]), np.array([5, 6, 9])], text_tower(9))
    assert feed["ids"].tolist() == [7, 9, 5, 6, 9]
    assert feed["positions"].tolist() == [0, 1, 0, 1, 2]
    assert feed["last"].tolist() == [1, 4]
    assert feed["mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert feed["spread"].ravel()[feed["gather"]].tolist() == [0, 1, 2, 3, 4]


def test_the_product_of_codes_is_that_of_the_numbers(tmp_path: Path) -> None:
    """But for rounding; also at the end of the range, where two products added in 16 bits would not fit."""
    weights = np.random.default_rng(0).uniform(-1, 1, (32, 64)).astype(np.float32)
    x = np.random.default_rng(1).uniform(-1, 0.4, (5, 64)).astype(np.float32)
    weights[0], x[0] = 1, 1
    expected = x @ weights.T
    found = _product(x, weights, weight_zero(processor()), tmp_path)
    assert found[0, 0] == pytest.approx(64, rel=1e-6)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("x86_64 GenuineIntel avx2 avx512f avx512_vnni", np.int8),
        ("x86_64 GenuineIntel avx2 avx_vnni", np.int8),
        ("x86_64 AuthenticAMD avx2", np.uint8),
        ("aarch64 asimddp", np.int8),
        ("arm64 arm", np.int8),
    ],
)
def test_weights_have_a_sign_where_the_processor_multiplies_such_without_overflow(name: str, dtype: type) -> None:
    """On x86 without VNNI it adds two products of signed and unsigned codes in 16 bits."""
    assert weight_zero(name).dtype == dtype


def _product(x: Rows, weights: Rows, zero: WeightZero, folder: Path) -> Rows:
    with GraphWriter(folder / "graph.onnx") as graph:
        product = Int8Product(graph, zero, blocked=True)
        graph.save(product(graph.input("x", "float32", ("n", weights.shape[1])), weights), dim=len(weights))
    found: Rows = InferenceSession(folder / "graph.onnx").run(None, {"x": x})[0]
    return found


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    """An empty folder is refused with an error of the tree, and a sentence."""
    with pytest.raises(LookalikeError, match=r"holds no config\.json: fetch"):
        open_model(tmp_path)
