"""Our flows against zuko and nflows, on copied weights."""

import torch
from support import randomize

from dgm_course import flows


def copy_linears(source, target):
    """Copy the linear layers of one network to another, in order."""

    def linears(module):
        kind = torch.nn.Linear
        return [m for m in module.modules() if isinstance(m, kind)]

    pairs = list(zip(linears(source), linears(target), strict=True))
    with torch.no_grad():
        for a, b in pairs:
            b.weight.copy_(a.weight)
            b.bias.copy_(a.bias)
    assert pairs


def test_affine_coupling_equals_nflows():
    from nflows.transforms import AffineCouplingTransform

    ours = randomize(flows.AffineCoupling(6, (16, 16))).double()

    class Net(torch.nn.Module):
        """Our network, in nflows' order (shift, raw scale)."""

        def __init__(self, inputs, outputs):
            super().__init__()
            self.net = torch.nn.Sequential(
                torch.nn.Linear(inputs, 16),
                torch.nn.ReLU(),
                torch.nn.Linear(16, 16),
                torch.nn.ReLU(),
                torch.nn.Linear(16, outputs),
            )

        def forward(self, x, context=None):
            raw, shift = self.net(x).chunk(2, 1)
            scale = ours.conditional.log_scale(raw)
            return torch.cat([shift, scale], 1)

    class ExpScale(AffineCouplingTransform):
        """nflows bounds the scale by a sigmoid; the paper has exp."""

        def _scale_and_shift(self, params):
            shift, log_scale = params.chunk(2, 1)
            return log_scale.exp(), shift

    theirs = ExpScale(
        mask=torch.tensor([0, 0, 0, 1, 1, 1]),
        transform_net_create_fn=lambda a, b: Net(a, b),
    ).double()
    copy_linears(ours.net, theirs.transform_net.net)
    x = torch.randn(20, 6, dtype=torch.float64)
    z, ladj = ours(x)
    z_theirs, ladj_theirs = theirs(x)
    torch.testing.assert_close(z, z_theirs, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(ladj, ladj_theirs, rtol=1e-13, atol=1e-13)
    x_back, ladj_back = theirs.inverse(z)
    torch.testing.assert_close(
        ours.inverse(z)[0], x_back, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        ours.inverse(z)[1], ladj_back, rtol=1e-13, atol=1e-13
    )


def test_additive_coupling_equals_zuko():
    from zuko.transforms import (
        AdditiveTransform,
        CouplingTransform,
        DependentTransform,
    )

    ours = randomize(flows.AdditiveCoupling(6, (16,))).double()
    mask = torch.tensor([True, True, True, False, False, False])
    theirs = CouplingTransform(
        lambda a: DependentTransform(AdditiveTransform(ours.net(a)), 1), mask
    )
    x = torch.randn(20, 6, dtype=torch.float64)
    z, ladj = ours(x)
    z_theirs, ladj_theirs = theirs.call_and_ladj(x)
    torch.testing.assert_close(z, z_theirs, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(ladj, ladj_theirs, rtol=1e-14, atol=1e-14)


def test_logit_equals_torch_distributions():
    from torch.distributions import (
        AffineTransform,
        ComposeTransform,
        SigmoidTransform,
    )

    ours, alpha = flows.Logit(256, 0.05), 0.05
    theirs = ComposeTransform(
        [AffineTransform(alpha, (1 - 2 * alpha) / 256), SigmoidTransform().inv]
    )
    x = 256 * torch.rand(10, 5, dtype=torch.float64)
    z, ladj = ours(x)
    torch.testing.assert_close(z, theirs(x))
    expected = theirs.log_abs_det_jacobian(x, theirs(x)).sum(1)
    torch.testing.assert_close(ladj, expected)
