"""The state of a training run, on disk."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .files import atomic_write
from .history import History, Window

# devices whose fused Adam can be told to skip an update, from torch 2.4 on
FUSED = ("cpu", "cuda")


def read(path: str | Path) -> dict[str, Any]:
    """Read a training state onto the CPU.

    Raises:
        ValueError: If the file is no complete checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"model", "optimizer", "options", "step"} - set(state)
        if missing:
            raise KeyError(*sorted(missing))
        return state
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a complete checkpoint ({type(error).__name__}); "
            "delete it to start over, or give another path"
        ) from error


class TrainingState:
    """Everything that a checkpoint of a training run holds.

    Args:
        model: The model in training.
        options: What the course of the run depends on, ``lr`` and ``ema``
            among them; a run goes on with the same alone.
        device: Name of the device, for the history.
    """

    def __init__(
        self, model: nn.Module, options: dict[str, Any], device: str
    ) -> None:
        self.model, self.options, self.step = model, options, 0
        parameters = list(model.parameters())
        self.device = parameters[0].device
        self.optimizer: Any = torch.optim.Adam(
            parameters,
            lr=options["lr"],
            fused=all(p.device.type in FUSED for p in parameters),
        )
        self.average: nn.Module | None = None
        if options["ema"] is not None:
            self.average = copy.deepcopy(model)
        self.history, self.window = History(device=device), Window()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def update(self, bad: Tensor | None = None) -> None:
        """Apply the gradients, and move the averaged weights.

        Args:
            bad: 0-d, 1 on the device where the gradients are not finite and
                nothing may move, else 0; None where they are known to be.
        """
        if bad is None or self.optimizer.defaults["fused"]:
            # what torch.amp.GradScaler tells a fused optimizer
            self.optimizer.found_inf = bad
            self.optimizer.step()
        else:
            before = [p.detach().clone() for p in self.model.parameters()]
            self.optimizer.step()
            for p, old in zip(self.model.parameters(), before):
                p.data.copy_(torch.where(bad > 0, old, p.data))
        if self.average is not None:
            self._move_average(self.average, bad)
        self.step += 1

    @torch.no_grad()
    def _move_average(self, average: nn.Module, bad: Tensor | None) -> None:
        # torch's AveragedModel looks at its count in each step, and waits
        old: Any = [*average.parameters()]
        new: Any = [*self.model.parameters()]
        weight = 1 - self.options["ema"]
        if self.step == 0:
            torch._foreach_copy_(old, new)
        elif bad is None:
            torch._foreach_lerp_(old, new, weight)
        else:
            change = torch._foreach_sub(new, old)
            torch._foreach_mul_(change, weight * (1 - bad))
            torch._foreach_add_(old, change)
        for mine, buffer in zip(average.buffers(), self.model.buffers()):
            mine.copy_(buffer)

    def adopt_average(self) -> None:
        """Give the model the averaged weights, where there are any."""
        if self.average is not None and self.step > 0:
            self.model.load_state_dict(self.average.state_dict())

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model}
        parts["optimizer"] = self.optimizer
        if self.average is not None:
            parts["average"] = self.average
        return parts

    def save(self, path: str | Path, window: Window) -> None:
        """Write the state atomically.

        Args:
            path: The file.
            window: Losses since the last point of the curve, of all processes.
        """
        state = {name: p.state_dict() for name, p in self._parts().items()}
        state["options"], state["step"] = self.options, self.step
        state["history"] = self.history.to_dict()
        total, squares, count = window.numbers()
        state["window"] = asdict(Window(total, squares, count))
        state["rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            # of this one: where it is resumed there may be more, or fewer
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        with atomic_write(path) as file:
            torch.save(state, file)

    def load(self, path: str | Path) -> None:
        """Read a state back.

        Raises:
            ValueError: If the file is damaged, of another model, or of a run
                with other options.
        """
        state = read(path)
        found = state.get("options", {})
        other = {k: v for k, v in self.options.items() if found.get(k) != v}
        if other:
            before = {k: found.get(k) for k in other}
            raise ValueError(
                f"{path} is of a run with {before}, not with {other}; give "
                "the same options or another checkpoint, or do not resume"
            )
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} was written by another model; give another "
                f"checkpoint, or do not resume ({error})"
            ) from error
        self.step = state["step"]
        self.history = History.from_dict(state["history"])
        self.window = Window(**state["window"])
        torch.set_rng_state(state["rng"])
        if "cuda_rng" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
