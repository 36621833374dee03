"""Checkpoints: what is read, and what is refused with a reason."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import save_file

from lookalike.encoders.checkpoint import open_checkpoint
from lookalike.errors import CorruptModel, ModelNotFound, UnsupportedModel

VALUES = np.array([[1.0, -0.5, 0.0], [3.25, 100.0, -2.0]])


def write(folder: Path, **arrays: Any) -> Path:
    save_file(arrays, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, bfloat16])
def test_floats_are_widened_without_a_change(dtype: Any, tmp_path: Path) -> None:
    """Every float type comes out as the same values in float32."""
    with open_checkpoint(write(tmp_path, x=VALUES.astype(dtype))) as checkpoint:
        array = checkpoint.array("x", (2, 3))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VALUES)


def test_an_array_outlives_the_checkpoint(tmp_path: Path) -> None:
    """What was read stays valid after the file is closed and gone."""
    with open_checkpoint(write(tmp_path, x=VALUES.astype(np.float32))) as checkpoint:
        array = checkpoint.array("x", (2, 3))
    (tmp_path / "model.safetensors").unlink()
    np.testing.assert_array_equal(array, VALUES)


@pytest.mark.parametrize(
    ("name", "shape", "error", "says"),
    [
        ("y", (2, 3), CorruptModel, "lacks the tensor 'y'"),
        ("x", (3, 2), CorruptModel, r"shape \(2, 3\) where config.json says \(3, 2\)"),
        ("codes", (2,), UnsupportedModel, "'codes' in model.safetensors is I8"),
        ("broken", (2,), CorruptModel, "not finite"),
    ],
)
def test_an_unfit_tensor_is_named(
    name: str, shape: tuple[int, ...], error: type[Exception], says: str, tmp_path: Path
) -> None:
    """A tensor that is absent, misshapen, quantised or not finite is refused by its name."""
    arrays = {"x": VALUES, "codes": np.ones(2, np.int8), "broken": np.array([1, np.nan], np.float32)}
    with open_checkpoint(write(tmp_path, **arrays)) as checkpoint, pytest.raises(error, match=says):
        checkpoint.array(name, shape)


def test_no_weights(tmp_path: Path) -> None:
    """A folder without weights is a ModelNotFound that names the file."""
    with pytest.raises(ModelNotFound, match=r"holds no model\.safetensors") as caught, open_checkpoint(tmp_path):
        pass
    assert caught.value.file == "model.safetensors"


@pytest.mark.parametrize(
    ("file", "says"), [("pytorch_model.bin", "pickle.*convert it"), ("model.safetensors.index.json", "join them")]
)
def test_other_forms_of_weights_are_refused(file: str, says: str, tmp_path: Path) -> None:
    """A pickle is never opened, and sharded weights are refused; both with the remedy."""
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(UnsupportedModel, match=says) as caught, open_checkpoint(tmp_path):
        pass
    assert caught.value.file == file


def header(size: int) -> bytes:
    text = json.dumps({"x": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [b"", b"12", b"\xff" * 100, struct.pack("<Q", 1 << 40) + b"{}", header(3), header(3) + bytes(11), header(3)[:20]],
    ids=["empty", "short", "garbage", "huge header", "no data", "one byte short", "half a header"],
)
def test_a_damaged_file_is_corrupt(content: bytes, tmp_path: Path) -> None:
    """A file that is cut short or is not of the format is a CorruptModel, before anything is read from it."""
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CorruptModel, match="damaged or cut short"), open_checkpoint(tmp_path):
        pass
