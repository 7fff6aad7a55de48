"""The same flows in other libraries: one short class each.

A class builds the models that the library has (or returns None), and
translates four calls: ``log_prob``, ``sample``, ``encode`` (data to noise)
and ``decode`` (noise to data). Every MAF has ReLU MADEs with the order turned
round between them, every coupling flow ReLU networks on alternating halves.
"""

from __future__ import annotations

import torch
from torch import nn


class Zuko:
    name = "zuko"

    def __init__(self):
        import zuko.flows

        self.lib = zuko.flows

    def maf(self, dim, layers, hidden):
        return self.lib.MAF(dim, transforms=layers, hidden_features=hidden)

    def coupling(self, dim, layers, hidden):
        return self.lib.NICE(dim, transforms=layers, hidden_features=hidden)

    def log_prob(self, model, x):
        return model().log_prob(x)

    def sample(self, model, n):
        return model().sample((n,))

    def encode(self, model, x):
        return model().transform(x)

    def decode(self, model, z):
        return model().transform.inv(z)


class NFlows:
    name = "nflows"

    def __init__(self):
        from nflows import distributions, flows, transforms

        self.parts, self.flow = transforms, flows.Flow
        self.base = distributions.StandardNormal

    def maf(self, dim, layers, hidden):
        parts = []
        for i in range(layers):
            parts += [self.parts.ReversePermutation(dim)] if i > 0 else []
            made = self.parts.MaskedAffineAutoregressiveTransform(
                dim, hidden[0], num_blocks=1, use_residual_blocks=False
            )
            parts.append(made)
        return self.flow(self.parts.CompositeTransform(parts), self.base([dim]))

    def coupling(self, dim, layers, hidden):
        class Network(nn.Module):
            def __init__(self, inputs, outputs):
                super().__init__()
                self.net = network(inputs, hidden, outputs)

            def forward(self, x, context=None):
                return self.net(x)

        half = torch.arange(dim) >= dim - dim // 2
        parts = [
            self.parts.AffineCouplingTransform(
                ~half if i % 2 else half, Network
            )
            for i in range(layers)
        ]
        return self.flow(self.parts.CompositeTransform(parts), self.base([dim]))

    def log_prob(self, model, x):
        return model.log_prob(x)

    def sample(self, model, n):
        return model.sample(n)

    def encode(self, model, x):
        return model.transform_to_noise(x)

    def decode(self, model, z):
        return model._transform.inverse(z)[0]


class NormFlows:
    """Its MADE has no activation after the first layer: a little less work."""

    name = "normflows"

    def __init__(self):
        import normflows

        self.lib, self.parts = normflows, normflows.flows

    def maf(self, dim, layers, hidden):
        class Flip(self.parts.Flow):
            def forward(self, z):
                return z.flip(1), z.new_zeros(len(z))

            inverse = forward

        parts = []
        for i in range(layers):
            parts += [Flip()] if i > 0 else []
            made = self.parts.MaskedAffineAutoregressive(
                dim, hidden[0], num_blocks=1, use_residual_blocks=False
            )
            # its forward runs from noise to data: Reverse makes density cheap
            parts.append(self.parts.Reverse(made))
        return self._model(dim, parts)

    def coupling(self, dim, layers, hidden):
        parts = []
        for _ in range(layers):
            widths = [dim - dim // 2, *hidden, 2 * (dim // 2)]
            net = self.lib.nets.MLP(widths)
            parts.append(self.parts.AffineCouplingBlock(net))
            parts.append(self.parts.Permute(dim, mode="swap"))
        return self._model(dim, parts)

    def _model(self, dim, parts):
        base = self.lib.distributions.DiagGaussian(dim, trainable=False)
        return self.lib.NormalizingFlow(base, parts)

    def log_prob(self, model, x):
        return model.log_prob(x)

    def sample(self, model, n):
        return model.sample(n)[0]

    def encode(self, model, x):
        return model.inverse(x)

    def decode(self, model, z):
        return model(z)


class Pyro:
    """Every call gets a fresh copy of its input.

    Its transforms remember their last input by identity, also behind
    ``.inv``, and would answer a repeated call without computing anything.
    """

    name = "pyro"

    def __init__(self):
        import pyro.distributions
        import pyro.nn

        self.lib = pyro
        self.parts = pyro.distributions.transforms

    def maf(self, dim, layers, hidden):
        if min(hidden) < dim:
            return None  # it refuses fewer hidden units than variables
        steps = []
        for i in range(layers):
            order = torch.arange(dim).flip(0) if i % 2 else torch.arange(dim)
            net = self.lib.nn.AutoRegressiveNN(
                dim, list(hidden), permutation=order
            )
            steps.append(self.parts.AffineAutoregressive(net))
        return self._model(dim, steps)

    def coupling(self, dim, layers, hidden):
        kept, changed = dim - dim // 2, dim // 2
        steps = []
        for _ in range(layers):
            net = self.lib.nn.DenseNN(kept, list(hidden), [changed, changed])
            steps.append(self.parts.AffineCoupling(kept, net))
            steps.append(self.parts.Permute(torch.arange(dim).roll(changed)))
        return self._model(dim, steps)

    def _model(self, dim, steps):
        model = nn.ModuleList(s for s in steps if isinstance(s, nn.Module))
        model.dim, model.steps = dim, steps
        return model

    def _distribution(self, model):
        dist = self.lib.distributions
        base = dist.Normal(torch.zeros(model.dim), 1.0).to_event(1)
        back = [step.inv for step in reversed(model.steps)]
        return dist.TransformedDistribution(base, back)

    def log_prob(self, model, x):
        return self._distribution(model).log_prob(x.clone())

    def sample(self, model, n):
        return self._distribution(model).sample((n,))

    def encode(self, model, x):
        x = x.clone()
        for step in model.steps:
            x = step(x)
        return x

    def decode(self, model, z):
        z = z.clone()
        for step in reversed(model.steps):
            z = step.inv(z)
        return z


class FrEIA:
    name = "FrEIA"

    def __init__(self):
        import FrEIA.framework
        import FrEIA.modules

        self.lib = FrEIA

    def coupling(self, dim, layers, hidden):
        flow = self.lib.framework.SequenceINN(dim)
        for i in range(layers):
            flow.append(
                self.lib.modules.AffineCouplingOneSided,
                subnet_constructor=lambda a, b: network(a, hidden, b),
            )
            flow.append(self.lib.modules.PermuteRandom, seed=i)
        return flow

    def log_prob(self, model, x):
        z, ladj = model(x)
        return torch.distributions.Normal(0, 1).log_prob(z).sum(1) + ladj

    def sample(self, model, n):
        z = torch.randn(n, *model.shapes[0])
        return model(z, rev=True, jac=False)[0]

    def encode(self, model, x):
        return model(x, jac=False)[0]

    def decode(self, model, z):
        return model(z, rev=True, jac=False)[0]


PEERS = [Zuko, NFlows, NormFlows, Pyro, FrEIA]


def network(inputs, hidden, outputs):
    """Return linear layers with ReLUs between them."""
    layers, width = [], inputs
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, outputs))
