"""Messages between the grader and a sandbox: JSON, and arrays as .npy.

A frame is its length in 4 bytes, the length of the header in 4 bytes, the
header (JSON: a tree of values, and the lengths of the arrays), the arrays.
Nothing is ever unpickled, and nothing is allocated before its size is known
to fit: the other side may be hostile.
"""

from __future__ import annotations

import io
import json
import math
import struct
from typing import Any

import numpy as np

LENGTH = struct.Struct(">I")
HEADER_BYTES = 1 << 20
DEPTH = 8  # of containers in containers
ITEMS = 10_000  # values in one message
DTYPES = {
    np.dtype(name)
    for name in (
        "bool uint8 int8 int16 int32 int64 float16 float32 float64"
    ).split()
}


class Malformed(ValueError):
    """The other side did not keep to the format."""


def encode(value: Any) -> bytes:
    """Write a value as a frame, its length included.

    Args:
        value: None, booleans, numbers, strings, numpy arrays, and tuples,
            lists and dictionaries of them with strings as keys.

    Raises:
        TypeError: If it holds something else.
    """
    arrays: list[bytes] = []
    header = json.dumps(
        {"value": _to_json(value, arrays), "arrays": [len(a) for a in arrays]}
    ).encode()
    body = b"".join([LENGTH.pack(len(header)), header, *arrays])
    return LENGTH.pack(len(body)) + body


def _to_json(value: Any, arrays: list[bytes]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype not in DTYPES:
            raise TypeError(f"an array of {value.dtype} cannot be sent")
        buffer = io.BytesIO()
        np.lib.format.write_array(
            buffer, np.asarray(value, order="C"), allow_pickle=False
        )
        arrays.append(buffer.getvalue())
        return {"array": len(arrays) - 1}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_to_json(v, arrays) for v in value]}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _to_json(v, arrays) for k, v in value.items()}}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def decode(body: bytes) -> Any:
    """Read a frame, without its length.

    Raises:
        Malformed: If it is no such frame, or goes beyond a limit.
    """
    try:
        (size,) = LENGTH.unpack_from(body)
        if size > HEADER_BYTES:
            raise Malformed(f"a header of {size} bytes")
        header = json.loads(body[4 : 4 + size].decode())
        tree, lengths = header["value"], header["arrays"]
        if len(lengths) > ITEMS:
            raise Malformed("too many arrays")
        if not all(type(n) is int and n >= 0 for n in lengths):
            raise Malformed("an array without a length")
        if 4 + size + sum(lengths) != len(body):
            raise Malformed("arrays that do not fill the frame")
        arrays, start = [], 4 + size
        for n in lengths:
            arrays.append(_array(body[start : start + n]))
            start += n
        return _Reader(arrays).read(tree, 0)
    except Malformed:
        raise
    except Exception as error:  # a parser met what it never expected
        raise Malformed(f"no message: {type(error).__name__}") from None


class _Reader:
    def __init__(self, arrays: list[np.ndarray]):
        self.arrays, self.left = arrays, ITEMS

    def read(self, node: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > DEPTH:
            raise Malformed("too many values")
        if node is None or isinstance(node, bool | float):
            return node
        if isinstance(node, str):  # half a surrogate could not be written
            return node.encode("utf-8", "replace").decode()
        if isinstance(node, int):
            if not -(2**63) <= node < 2**63:
                raise Malformed("an integer beyond 64 bits")
            return node
        ((kind, inner),) = node.items()  # a list is no message
        if kind == "array":
            if type(inner) is not int or inner < 0:
                raise Malformed("no index of an array")
            return self.arrays[inner]
        if kind == "dict":
            return {k: self.read(v, depth + 1) for k, v in inner.items()}
        if kind in ("tuple", "list") and isinstance(inner, list):
            values = [self.read(v, depth + 1) for v in inner]
            return tuple(values) if kind == "tuple" else values
        raise Malformed("an unknown kind of value")


def _array(data: bytes) -> np.ndarray:
    """Read one .npy, of its exact size, with one of the known dtypes."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise Malformed("an unknown version of .npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(
        file, max_header_size=1000
    )
    if dtype not in DTYPES or fortran:
        raise Malformed(f"an array of {dtype}"[:60])
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
        raise Malformed("an array without a shape")
    start = file.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise Malformed("an array of another size than it says")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).copy()
