"""Calling a network a second time as if it were the first (chapter 3)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Replay:
    """The circumstances of a call: generators, autocast, training mode.

    Make one before the call, make the call inside :meth:`precision`, and tell
    it afterwards by :meth:`called`.

    Args:
        net: The network.
        x: Its input; what it draws comes from the generators of the CPU and
            of this device.
    """

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        self.net, self.device = net, x.device
        self.modes = modes(net)
        self.states: list[Tensor] | None = self._generators()
        kind = x.device.type
        self.options: dict[str, Any] | None = None
        if torch.amp.is_autocast_available(kind):
            # a weight cast without gradients must not reach the cache: inside
            # one autocast region it would stand in for the one with gradients
            self.options = {
                "device_type": kind,
                "dtype": torch.get_autocast_dtype(kind),
                "enabled": torch.is_autocast_enabled(kind),
                "cache_enabled": False,
            }

    def precision(self) -> AbstractContextManager[Any]:
        """Return the autocast of the first call, for one more."""
        if self.options is None:
            return nullcontext()
        return torch.autocast(**self.options)

    def called(self) -> None:
        """Forget the generators' states if the network drew nothing."""
        if all(map(torch.equal, self.states or [], self._generators())):
            self.states = None

    @contextmanager
    def again(self) -> Iterator[Any]:
        """Inside, call what is returned in place of the network.

        It draws the same numbers, which the generators outside do not notice,
        and works on copies of the buffers: running statistics have seen this
        batch already.

        Raises:
            RuntimeError: If a module has since gone from training to
                evaluation, or back.
        """
        if modes(self.net) != self.modes:
            raise RuntimeError(
                "train() or eval() was called between the forward pass and the "
                "backward pass, which has to repeat it; call it afterwards"
            )
        buffers = {k: v.clone() for k, v in self.net.named_buffers()}
        here = self._generators() if self.states is not None else []
        try:
            self._set(self.states or [])
            with self.precision():
                yield partial(functional_call, self.net, buffers)
        finally:
            self._set(here)

    def _generators(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type not in ("cpu", "meta"):
            module = torch.get_device_module(self.device)
            states.append(module.get_rng_state(self.device))
        return states

    def _set(self, states: list[Tensor]) -> None:
        if states:
            torch.set_rng_state(states[0])
        if len(states) > 1:
            module = torch.get_device_module(self.device)
            module.set_rng_state(states[1], self.device)


def modes(net: nn.Module) -> list[bool]:
    """Return which modules of a network are in training mode."""
    return [module.training for module in net.modules()]
