"""Reference values for convolution, pooling and normalization: tests/data/ops/spatial.safetensors.

Run from anywhere: python tests/refs/ops_spatial.py. Needs torch, numpy, safetensors. Inputs are f32, everything
computed is f64, tensors are NCHW and OIHW. Cases of MatConvNet's own blocks are the published formulas under autograd.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[1] / "data" / "ops" / "spatial.safetensors"
cases, tensors = [], {}


def f32(value):
    """An attribute as the engine holds it."""
    return float(np.float32(value))


def randn(*shape):
    return torch.randn(shape, dtype=torch.float32).double()


def case(group, name, op, inputs, function, params=(), d_params=None, training=False):
    """Runs `function(*inputs, *params)` forward and backward; `d_params` limits which gradients are kept."""
    name = f"{group}/{name}"
    assert name not in tensors
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    params = [p.detach().clone().requires_grad_() for p in params]
    output = function(*inputs, *params)
    d_output = randn(*output.shape)
    output.backward(d_output)
    kept = {"output": output.detach(), "d_output": d_output.float()}
    for i, x in enumerate(inputs):
        kept[f"input{i}"] = x.detach().float()
        kept[f"d_input{i}"] = x.grad
    for i, p in enumerate(params):
        kept[f"param{i}"] = p.detach().float()
        if p.grad is not None and (d_params is None or i in d_params):
            kept[f"d_param{i}"] = p.grad
    tensors.update({f"{name}.{key}": value.contiguous() for key, value in kept.items()})
    cases.append({"name": name, "group": group, "op": {"op": group, **op}, "training": training})


def explicit(top, left, bottom, right):
    return {"explicit": {"top": top, "left": left, "bottom": bottom, "right": right}}


def same_pads(size, kernel, stride, dilation):
    """TensorFlow's SAME padding: before and after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def window(kernel, stride=(1, 1), dilation=(1, 1), padding=(0, 0, 0, 0), rounding="floor"):
    padding = padding if isinstance(padding, str) else explicit(*padding)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding, "rounding": rounding}


def torch_pads(size, kernel, stride, dilation, padding):
    """The argument of F.pad."""
    if isinstance(padding, str):
        top, bottom = same_pads(size[0], kernel[0], stride[0], dilation[0])
        left, right = same_pads(size[1], kernel[1], stride[1], dilation[1])
        if padding == "same_lower":
            top, bottom, left, right = bottom, top, right, left
    else:
        top, left, bottom, right = padding
    return left, right, top, bottom


def convolutions():
    #        name                    in out groups kernel stride dilation padding bias
    table = [
        ("1x1", 4, 3, 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), True),
        ("1x1_stride_2", 3, 4, 1, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0), False),
        ("3x3", 3, 4, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), True),
        ("3x3_stride_2_same", 3, 4, 1, (3, 3), (2, 2), (1, 1), "same_upper", True),
        ("4x4_stride_2_same_lower", 2, 3, 1, (4, 4), (2, 2), (1, 1), "same_lower", True),
        ("3x2_stride_1x3_asymmetric", 2, 3, 1, (3, 2), (1, 3), (1, 1), (2, 0, 1, 3), True),
        ("dilated_2x3", 2, 3, 1, (3, 2), (1, 1), (2, 3), (1, 2, 0, 1), False),
        ("dilated_stride_2", 2, 2, 1, (3, 3), (2, 2), (2, 2), (2, 2, 2, 2), True),
        ("7x7_stride_2", 2, 2, 1, (7, 7), (2, 2), (1, 1), (3, 3, 3, 3), False),
        ("two_groups", 4, 6, 2, (3, 3), (2, 1), (1, 1), (1, 0, 1, 2), True),
        ("three_groups_1x1", 6, 3, 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), True),
        ("depthwise", 5, 5, 5, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), True),
        ("depthwise_17_channels", 17, 17, 17, (3, 3), (2, 2), (1, 1), "same_upper", False),
        ("depthwise_5x5_stride_2", 3, 3, 3, (5, 5), (2, 2), (1, 1), (2, 2, 1, 1), True),
        ("depthwise_twofold", 3, 6, 3, (3, 3), (1, 1), (1, 1), (0, 0, 0, 0), True),
    ]
    for name, channels, out, groups, kernel, stride, dilation, padding, bias in table:
        x = randn(1 if channels > 8 else 2, channels, 6, 5)
        pads = torch_pads((6, 5), kernel, stride, dilation, padding)
        params = [randn(out, channels // groups, *kernel)] + ([randn(out)] if bias else [])

        def convolve(x, weight, bias=None):
            return F.conv2d(F.pad(x, pads), weight, bias, stride=stride, dilation=dilation, groups=groups)

        case("conv2d", name, {**window(kernel, stride, dilation, padding), "groups": groups}, [x], convolve, params)


def transposed_convolutions():
    table = [
        ("2x2_stride_2", 3, 2, 1, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), (0, 0), True),
        ("3x3_stride_2", 2, 3, 1, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), (1, 0), True),
        ("4x3_stride_3x2_cropped", 2, 3, 1, (4, 3), (3, 2), (1, 1), (1, 0, 2, 1), (0, 0), False),
        ("dilated", 2, 2, 1, (3, 2), (2, 1), (2, 3), (1, 2, 1, 2), (1, 2), True),
        ("groups", 4, 6, 2, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), (1, 1), True),
        ("depthwise", 3, 3, 3, (4, 4), (2, 2), (1, 1), (1, 1, 1, 1), (0, 0), False),
        ("same", 2, 3, 1, (3, 3), (2, 2), (1, 1), "same_upper", (0, 0), True),
    ]
    for name, channels, out, groups, kernel, stride, dilation, padding, more, bias in table:
        x = randn(2, channels, 4, 3)
        size = (4 * stride[0], 3 * stride[1])
        left, right, top, bottom = torch_pads(size, kernel, stride, dilation, padding)
        params = [randn(channels, out // groups, *kernel)] + ([randn(out)] if bias else [])

        def convolve(x, weight, bias=None):
            if (top, left) == (bottom, right):
                options = dict(stride=stride, dilation=dilation, groups=groups, output_padding=more)
                return F.conv_transpose2d(x, weight, bias, padding=(top, left), **options)
            full = F.conv_transpose2d(x, weight, bias, stride=stride, dilation=dilation, groups=groups)
            return full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]

        op = {**window(kernel, stride, dilation, padding), "groups": groups, "output_padding": more}
        case("conv_transpose2d", name, op, [x], convolve, params)


def linear():
    for batch, channels, out, bias in [(1, 37, 5, True), (3, 4, 6, True), (2, 5, 3, False)]:
        params = [randn(out, channels)] + ([randn(out)] if bias else [])
        case("linear", f"{batch}x{channels}", {}, [randn(batch, channels)], F.linear, params)


POOLS = [
    ("2x2", (2, 2), (2, 2), (0, 0), False),
    ("2x2_ceil", (2, 2), (2, 2), (0, 0), True),
    ("3x3_stride_2_ceil", (3, 3), (2, 2), (0, 0), True),
    ("3x3_stride_2_padded", (3, 3), (2, 2), (1, 1), False),
    ("3x3_stride_2_padded_ceil", (3, 3), (2, 2), (1, 1), True),
    ("3x2_stride_1x2_padded", (3, 2), (1, 2), (1, 1), True),
    ("5x4_stride_3_padded_ceil", (5, 4), (3, 3), (2, 1), True),
]


def max_pools():
    for name, kernel, stride, (y, x), ceil in POOLS:
        op = window(kernel, stride, padding=(y, x, y, x), rounding="ceil" if ceil else "floor")
        # Few distinct values, so that ties are decided too.
        case("max_pool", name, op, [randn(1, 3, 7, 6).mul(2).round()],
             lambda x_, k=kernel, s=stride, p=(y, x), c=ceil: F.max_pool2d(x_, k, s, p, ceil_mode=c))
    op = window((3, 2), (1, 2), (2, 3), (1, 1, 1, 1))
    case("max_pool", "dilated", op, [randn(1, 3, 7, 6)],
         lambda x: F.max_pool2d(x, (3, 2), (1, 2), (1, 1), (2, 3)))
    case("max_pool", "asymmetric", window((3, 3), (2, 2), padding=(0, 1, 2, 0)), [randn(1, 17, 6, 5)],
         lambda x: F.max_pool2d(F.pad(x, (1, 0, 0, 2), value=-torch.inf), 3, 2))


def average_pools():
    for name, kernel, stride, (y, x), ceil in POOLS:
        op = window(kernel, stride, padding=(y, x, y, x), rounding="ceil" if ceil else "floor")
        divisors = {
            "inside": dict(count_include_pad=False),
            "padded": dict(count_include_pad=True),
            "window": dict(divisor_override=kernel[0] * kernel[1]),
        }
        for divisor, options in divisors.items():
            case("average_pool", f"{name}_{divisor}", {**op, "divisor": divisor}, [randn(1, 2, 7, 6)],
                 lambda x_, k=kernel, s=stride, p=(y, x), c=ceil, o=options: F.avg_pool2d(x_, k, s, p, ceil_mode=c, **o))


def global_pools():
    case("global_pool", "average", {"kind": "average"}, [randn(2, 5, 4, 3)], lambda x: F.adaptive_avg_pool2d(x, 1))
    case("global_pool", "max", {"kind": "max"}, [randn(2, 5, 4, 3)], lambda x: F.adaptive_max_pool2d(x, 1))


def local_response_normalizations():
    for size, beta, bias in [(5, 0.75, 2.0), (3, 0.6, 1.0), (4, 0.75, 1.0), (2, 0.5, 1.5), (1, 1.0, 1.0), (9, 0.75, 1.0)]:
        alpha = f32(0.2)
        op = {"size": size, "alpha": alpha, "beta": f32(beta), "bias": bias, "region": "across_channels"}
        # PyTorch states alpha times the number of terms.
        case("lrn", f"across_{size}", op, [randn(1, 7, 3, 2)],
             lambda x, n=size, a=alpha * size, b=f32(beta), k=bias: F.local_response_norm(x, n, a, b, k))
    for size, beta in [(3, 0.75), (5, 0.6)]:
        alpha = f32(0.4)
        op = {"size": size, "alpha": alpha, "beta": f32(beta), "bias": 1.0, "region": "within_channel"}
        # Caffe's LRNLayer: an average pool of the squares that counts the padding, alpha times the window.
        case("lrn", f"within_{size}", op, [randn(2, 3, 5, 6)],
             lambda x, n=size, a=alpha, b=f32(beta): x * (1 + a * n * n * F.avg_pool2d(x * x, n, 1, n // 2)) ** -b)


def spatial_normalizations():
    for (height, width), beta in [((3, 3), 0.75), ((2, 4), 0.5), ((5, 2), 0.3)]:
        alpha = f32(1.7)

        def normalize(x, alpha=alpha, beta=f32(beta)):
            # vl_nnspnorm: pad floor((P - 1) / 2) before, the rest after; the mean counts pixels inside.
            top, left = (height - 1) // 2, (width - 1) // 2
            pads = (left, width - 1 - left, top, height - 1 - top)
            total = F.avg_pool2d(F.pad(x * x, pads), (height, width), 1)
            share = F.avg_pool2d(F.pad(torch.ones_like(x), pads), (height, width), 1)
            return x * (1 + alpha * total / share) ** -beta

        op = {"window": [height, width], "alpha": alpha, "beta": f32(beta)}
        case("spatial_norm", f"{height}x{width}", op, [randn(2, 3, 5, 4)], normalize)


def offsets():
    for alpha, beta in [(0.34, 0.5), (-0.2, 0.8), (0.1, -0.5)]:
        alpha, beta = f32(alpha), f32(beta)
        # vl_nnnoffset
        case("offset", f"{alpha:.2f}_{beta:.2f}", {"alpha": alpha, "beta": beta}, [randn(2, 5, 3, 2)],
             lambda x, a=alpha, b=beta: x - a * x.square().sum(1, keepdim=True).clamp(min=1e-8) ** b)


def distances():
    for p in [0.5, 1.0, 2.0, 3.0]:
        for root in [True, False]:
            for size in [(3, 2), (1, 1)] if p == 2.0 else [(3, 2)]:
                # vl_nnpdist
                def distance(x, target, p=p, root=root):
                    total = ((x - target).abs() ** p).sum(1, keepdim=True)
                    return total ** (1 / p) if root else total

                op = {"p": p, "no_root": not root, "epsilon": f32(1e-6)}
                name = f"{p}_{'root' if root else 'sum'}_{size[0]}x{size[1]}"
                case("p_distance", name, op, [randn(2, 5, 3, 2), randn(2, 5, *size)], distance)


def normalizations():
    epsilon = f32(1e-3)
    for shape in [(2, 5, 3, 4), (4, 17)]:
        channels = shape[1]
        params = [randn(channels), randn(channels), randn(channels), (torch.rand(channels) + 0.3).double()]
        for training in [False, True]:
            def normalize(x, gamma, beta, mean, variance, training=training):
                mean, variance = mean.detach().clone(), variance.detach().clone()
                return F.batch_norm(x, mean, variance, gamma, beta, training=training, eps=epsilon)

            name = f"{'training' if training else 'frozen'}_{len(shape)}d"
            case("batch_norm", name, {"epsilon": epsilon}, [randn(*shape)], normalize, params, [0, 1], training)
    case("instance_norm", "affine", {"epsilon": epsilon}, [randn(2, 5, 3, 4)],
         lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon), [randn(5), randn(5)])
    case("scale", "factor", {}, [randn(2, 5, 3, 4)], lambda x, f: x * f[:, None, None], [randn(5)])
    case("scale", "factor_and_bias", {}, [randn(2, 5, 3, 4)],
         lambda x, f, b: x * f[:, None, None] + b[:, None, None], [randn(5), randn(5)])


if __name__ == "__main__":
    torch.manual_seed(20150618)
    for make in [convolutions, transposed_convolutions, linear, max_pools, average_pools, global_pools,
                 local_response_normalizations, spatial_normalizations, offsets, distances, normalizations]:
        make()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"torch": torch.__version__, "numpy": np.__version__, "made_by": "tests/refs/ops_spatial.py",
                "cases": json.dumps(cases)}
    save_file(tensors, OUT, metadata)
    print(f"torch {torch.__version__}, numpy {np.__version__}: {len(cases)} cases, {OUT.stat().st_size} bytes")
