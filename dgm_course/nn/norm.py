"""Normalization by a batch, whose rows several processes may share.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by
Reducing Internal Covariate Shift", 2015.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalization with the statistics of all processes' rows.

    In one process it is torch's module, and its state is the same. In several
    each channel is normalized by all rows of the step, as if one process had
    seen them (torch's SyncBatchNorm does this on GPUs alone).

    Args:
        channels: Channels of the pictures.

    Shape:
        (B, channels, H, W); B may differ between processes.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Subtract the mean, divide by the standard deviation."""
        if not (self.training and several()):
            return super().forward(x)
        wide = x.to(self.weight.dtype)  # x may be of lower precision
        mean, variance, n = channel_moments(wide)
        self.num_batches_tracked.add_(1)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        mean, scale, bias = (
            vector[:, None, None] for vector in (mean, scale, self.bias)
        )
        return ((wide - mean) * scale + bias).to(x.dtype)


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor, int | Tensor]:
    """Mean and variance of each channel, over the rows of all processes.

    Autograd goes through both, into the rows of all processes: where the
    gradients of the processes are averaged, as DistributedDataParallel does,
    the result is the gradient of the average loss.

    Args:
        x: (B, C, ...); B may differ between processes.

    Returns:
        Mean (C,), variance (C,), divided by n, and the number n of values of
        a channel.
    """
    over, count = [d for d in range(x.ndim) if d != 1], x[:, 0].numel()
    if not several():
        variance, mean = torch.var_mean(x, over, correction=0)
        return mean, variance, count
    n = _Sum.apply(x.new_full((), count))
    mean = _Sum.apply(x.sum(over)) / n
    # around the mean, for a difference of squares would cancel
    away = x - mean.view(-1, *[1] * (x.ndim - 2))
    return mean, _Sum.apply(away.square().sum(over)) / n, n


def several() -> bool:
    """Whether several processes work together, as torchrun's in ``fit``."""
    ready = dist.is_available() and dist.is_initialized()
    return ready and dist.get_world_size() > 1


class _Sum(torch.autograd.Function):
    """Add up a tensor over all processes, and its gradients on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _total(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _total(gradient)


def _total(x: Tensor) -> Tensor:
    x = x.detach().clone()
    dist.all_reduce(x)
    return x
