"""A network whose weights belong to somebody else.

The teacher of chapter 6, the VAE of chapter 9, the decoder of chapter 10.
"""

from __future__ import annotations

from typing import Any

from torch import nn


class Borrowed(nn.Module):
    """A trained network that is used, not owned: neither trained nor stored.

    It follows its user to another device or data type.

    Args:
        network: A network whose weights stand elsewhere; frozen here.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # inside a tuple the network is no submodule
        self._network = (network.eval().requires_grad_(False),)

    @property
    def network(self) -> Any:
        """The network itself."""
        return self._network[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, *inputs: Any) -> Any:
        """Apply the network."""
        return self.network(*inputs)
