"""A GPU that is not there: tensors on a device of their own, without data.

Every operation checks devices, shapes and dtypes, backward passes included; a
value cannot be read. The one place that uses torch's private API for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

try:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils import backend_registration

    backend_registration._setup_privateuseone_for_python_backend("gpu")
except (ImportError, AttributeError):
    pytest.skip("this torch cannot pretend a GPU", allow_module_level=True)

DEVICE = torch.device("gpu:0")
# torch asks for it from now on, also in tests that know of no GPU
torch.get_device_module(DEVICE).get_amp_supported_dtype = lambda: [
    torch.bfloat16
]
STATE = torch.get_rng_state()
aten = torch.ops.aten
# their result has a shape that only the values tell: counted, then refused
SHAPED_BY_VALUES = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
}
COPIES = {aten._to_copy.default, aten.copy_.default}


class Waits(TorchDispatchMode):
    """Notes each operation for which a host waits for its GPU.

    Attributes:
        seen: Names of the operations. A value that is read is 0, or false,
            so that the code goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in args if isinstance(t, Tensor)]
        here = any(t.device.type == "gpu" for t in tensors)
        if func in SHAPED_BY_VALUES and here:
            self.seen.append(func.name())
        if func is aten.equal.default:
            if here:
                self.seen.append(func.name())
            return False
        if func is aten._local_scalar_dense.default:
            (value,) = args
            if here:
                self.seen.append(func.name())
            if value.dtype == torch.bool:
                return False
            # Adam, which divides by what it read, counts steps on the CPU
            return (
                float(not here) if value.is_floating_point() else int(not here)
            )
        result = func(*args, **kwargs)
        if func in COPIES:
            devices = {t.device.type for t in [*tensors, result]}
            blocks = not kwargs.get("non_blocking", False)
            if func is aten.copy_.default:
                blocks = not (args[2:3] or (False,))[0]
            if len(devices) > 1 and blocks:
                self.seen.append(func.name())
        return result


@contextmanager
def gpu() -> Iterator[Waits]:
    """Inside, the device exists, and modules stay where they are."""
    # a fake parameter cannot be swapped, even for one on the same device
    stay = patch.object(nn.Module, "to", lambda self, *_, **__: self)
    # a copy of a model would bring a device of its own
    one = patch.object(
        FakeTensorMode, "__deepcopy__", lambda self, memo: self, create=True
    )
    # generators whose state is the host's
    has = patch.multiple(
        torch.get_device_module(DEVICE),
        create=True,
        get_rng_state=lambda device: STATE,
        set_rng_state=lambda state, device: None,
    )
    with stay, one, has, FakeTensorMode(), Waits() as waits:
        yield waits


def move(module: nn.Module) -> nn.Module:
    """Put a module on the device; only inside :func:`gpu`."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        return module._apply(like)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def like(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape and dtype, on the device."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=DEVICE)
