"""Reference values, made by PyTorch, of the ops that combine, move or reduce elements, and of the losses.

Writes tests/data/ops/elementwise.safetensors: tensors in the frameworks' layouts, named CASE.NAME, and a JSON list of
the cases in the metadata (see src/nn/ops/check.rs). All is computed in f64; what f32 says exactly is stored so.

    python tests/refs/ops_elementwise.py
"""

import json
import pathlib
import sys

import numpy
import safetensors.torch
import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).parent.parent / "data" / "ops" / "elementwise.safetensors"

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(2015)
cases = []
tensors = {}


def random(*shape, scale=1.0):
    """Small values are whole 256ths, which f32 says exactly, so that f32 and f64 kernels start from the same."""
    return (torch.randn(*shape, generator=generator) * scale * 256).round() / 256


def save(name, values):
    for key, value in values.items():
        value = value.detach().clone().contiguous()
        tensors[f"{name}.{key}"] = value.float() if torch.equal(value.float().double(), value) else value


def case(group, name, op, function, inputs, params=(), **attributes):
    """One op: `function(*inputs, *params)`, with gradients to all of them from a random gradient of its output."""
    name = f"{group}.{name}"
    leaves = [tensor.clone().requires_grad_() for tensor in (*inputs, *params)]
    output = function(*leaves)
    d_output = random(*output.shape)
    output.backward(d_output)
    cases.append({"name": name, "group": group, "op": op, **attributes})
    values = {"output": output, "d_output": d_output}
    for i, leaf in enumerate(leaves):
        kind, index = ("input", i) if i < len(inputs) else ("param", i - len(inputs))
        values[f"{kind}{index}"] = leaf
        values[f"d_{kind}{index}"] = leaf.grad
    save(name, values)


def with_rule(function, rule):
    """`function` with the backward pass of guided backpropagation or deconvnet, by a hook as their users do it."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            if rule == "deconvnet":
                return F.relu(gradient)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return F.relu(torch.autograd.grad(function(x), x, gradient)[0])

    return Rule.apply


def activations():
    x = random(1, 3, 2, 4, scale=3.0)
    # The kinks, on purpose.
    x.view(-1)[:7] = torch.tensor([0.0, 6.0, -3.0, 3.0, 40.0, -40.0, -1.5])
    table = {
        "relu": ({"function": "relu"}, F.relu),
        "leaky": ({"function": "leaky_relu", "slope": 0.125}, lambda x: F.leaky_relu(x, 0.125)),
        "leaky_negative": ({"function": "leaky_relu", "slope": -0.5}, lambda x: F.leaky_relu(x, -0.5)),
        "relu6": ({"function": "clip", "low": 0.0, "high": 6.0}, F.relu6),
        "clip": ({"function": "clip", "low": -1.5, "high": 2.0}, lambda x: F.hardtanh(x, -1.5, 2.0)),
        "elu": ({"function": "elu", "alpha": 0.75}, lambda x: F.elu(x, 0.75)),
        "sigmoid": ({"function": "sigmoid"}, torch.sigmoid),
        "tanh": ({"function": "tanh"}, torch.tanh),
        "silu": ({"function": "silu"}, F.silu),
        "hard_swish": ({"function": "hard_swish"}, F.hardswish),
    }
    for name, (attributes, function) in table.items():
        case("activation", name, {"op": "activation", **attributes}, function, [x])
    # PyTorch's hard sigmoid has the slope 1/6, which f32 attributes cannot say exactly: Keras's has 0.2.
    keras = {"op": "activation", "function": "hard_sigmoid", "slope": 0.25, "offset": 0.5}
    case("activation", "hard_sigmoid", keras, lambda x: F.hardtanh(0.25 * x + 0.5, 0.0, 1.0), [x])
    for name, op, function in [
        ("relu", {"function": "relu"}, F.relu),
        ("relu6", {"function": "clip", "low": 0.0, "high": 6.0}, F.relu6),
    ]:
        for rule in ["guided", "deconvnet"]:
            op = {"op": "activation", **op}
            case("activation", f"{name}_{rule}", op, with_rule(function, rule), [x], relu_rule=rule)


def prelu():
    for name, shape, slopes in [("one", (2, 3, 2, 3), 1), ("each", (2, 3, 2, 3), 3), ("vector", (3, 5), 5)]:
        x = random(*shape)
        x.view(-1)[0] = 0.0
        case("prelu", name, {"op": "p_relu"}, F.prelu, [x], [random(slopes)])


def softmax():
    for name, shape, scale in [("maps", (2, 5, 2, 3), 2.0), ("vector", (3, 7), 30.0), ("one", (2, 1, 1, 2), 1.0)]:
        x = random(*shape, scale=scale)
        case("softmax", name, {"op": "softmax"}, lambda x: F.softmax(x, 1), [x])
        case("softmax", f"log_{name}", {"op": "log_softmax"}, lambda x: F.log_softmax(x, 1), [x])


def joining():
    axes = ["batch", "channel", "height", "width"]
    for i, axis in enumerate(axes):
        shapes = [[2, 3, 2, 3] for _ in range(3)]
        for shape, length in zip(shapes, [1, 4, 2]):
            shape[i] = length
        op = {"op": "concat", "axis": axis}
        case("concat", axis, op, lambda *x, i=i: torch.cat(x, i), [random(*shape) for shape in shapes])
        op = {"op": "slice", "axis": axis, "start": 1, "end": 3}
        case("slice", axis, op, lambda x, i=i: x.narrow(i, 1, 2), [random(3, 3, 3, 3)])
    for shape in [(2, 3), (2, 3, 2), (2, 3, 1, 2, 2)]:
        op = {"op": "concat", "axis": "channel"}
        inputs = [random(*shape), random(shape[0], 2, *shape[2:])]
        case("concat", f"rank{len(shape)}", op, lambda *x: torch.cat(x, 1), inputs)
        op = {"op": "slice", "axis": "channel", "start": 0, "end": 2}
        case("slice", f"rank{len(shape)}", op, lambda x: x[:, :2], [random(*shape)])


def elementwise():
    def maximum(*x):
        return torch.stack(torch.broadcast_tensors(*x)).amax(0)

    kinds = {
        "add2": ({"kind": "add"}, lambda a, b: a + b, 2),
        "add4": ({"kind": "add"}, lambda *x: sum(x), 4),
        "weighted_sum": (
            {"kind": "weighted_sum", "coefficients": [0.5, -2.0, 1.25]},
            lambda a, b, c: 0.5 * a - 2.0 * b + 1.25 * c,
            3,
        ),
        "sub": ({"kind": "sub"}, lambda a, b: a - b, 2),
        "mul2": ({"kind": "mul"}, lambda a, b: a * b, 2),
        "mul3": ({"kind": "mul"}, lambda a, b, c: a * b * c, 3),
        "max2": ({"kind": "max"}, maximum, 2),
        "max3": ({"kind": "max"}, maximum, 3),
    }
    for name, (attributes, function, count) in kinds.items():
        op = {"op": "elementwise", **attributes}
        case("elementwise", name, op, function, [random(2, 3, 2, 3) for _ in range(count)])
        # First the last input is spread, then all but the last.
        for spreads in [[count - 1], range(count - 1)] if count < 4 else []:
            shapes = [(2, 3, 1, 1) if i in spreads else (2, 3, 2, 3) for i in range(count)]
            inputs = [random(*shape) for shape in shapes]
            case("elementwise", f"{name}_spread_{''.join(map(str, spreads))}", op, function, inputs)
    case("elementwise", "rank3", {"op": "elementwise", "kind": "mul"}, torch.mul, [random(2, 3, 4) for _ in range(2)])


def reshaping():
    def of(*dims):
        return [d if isinstance(d, str) else {"of": d} for d in dims]

    table = [
        ("flatten", (2, 3, 2, 4), of("rest"), (2, 24)),
        ("four_to_four", (2, 6, 2, 3), of(4, "rest", 3), (2, 4, 3, 3)),
        ("four_to_five", (2, 6, 2, 3), of(2, 3, 2, 3), (2, 2, 3, 2, 3)),
        ("same", (2, 6, 2, 3), of("same", "rest"), (2, 6, 6)),
        ("two_to_four", (2, 24), of(3, "rest", 2), (2, 3, 4, 2)),
        ("three_to_four", (2, 6, 4), of("same", 2, 2), (2, 6, 2, 2)),
        ("to_one", (3, 1, 1, 1), [], (3,)),
    ]
    for name, shape, dims, to in table:
        case("reshape", name, {"op": "reshape", "dims": dims}, lambda x, to=to: x.reshape(to), [random(*shape)])
    for axes in [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 2, 1), (0, 1), (0, 2, 1, 3, 4), (0, 5, 3, 1, 4, 2)]:
        shape = (2, 3, 4, 3, 2, 3)[: len(axes)] if len(axes) < 6 else (2, 2, 3, 2, 1, 3)
        name = "".join(map(str, axes))
        op = {"op": "transpose", "axes": axes}
        case("transpose", name, op, lambda x, axes=axes: x.permute(axes), [random(*shape)])


def padding():
    sides = {"top": 1, "bottom": 3, "left": 2, "right": 0}
    pad = (2, 0, 1, 3)
    for mode, torch_mode in [({"constant": 0.0}, "constant"), ("reflect", "reflect"), ("edge", "replicate")]:
        op = {"op": "pad", "mode": mode, **sides}
        case("pad", torch_mode, op, lambda x, mode=torch_mode: F.pad(x, pad, mode), [random(2, 3, 4, 3)])
    op = {"op": "pad", "mode": {"constant": -1.5}, **sides}
    case("pad", "constant_value", op, lambda x: F.pad(x, pad, "constant", -1.5), [random(2, 3, 2, 3)])
    op = {"op": "pad", "mode": "edge", **sides}
    case("pad", "one_pixel", op, lambda x: F.pad(x, pad, "replicate"), [random(1, 2, 1, 1)])


def resizing():
    sizes = {"same": (3, 4), "double": (6, 8), "odd": (7, 5), "down": (2, 3), "one": (1, 1), "mixed": (1, 9)}
    modes = {
        "nearest": dict(mode="nearest"),
        "bilinear": dict(mode="bilinear", align_corners=False),
        "bilinear_align_corners": dict(mode="bilinear", align_corners=True),
    }
    for mode, options in modes.items():
        for name, size in sizes.items():
            op = {"op": "resize", "mode": mode, "target": {"size": size}}
            function = lambda x, size=size, options=options: F.interpolate(x, size=size, **options)
            case("resize", f"{mode}_{name}", op, function, [random(1, 2, 3, 4)])
        for name, factor in [("double", (2.0, 2.0)), ("fraction", (1.7, 2.6)), ("shrink", (0.5, 0.4)), ("slight", (1.2, 1.1))]:
            op = {"op": "resize", "mode": mode, "target": {"factor": factor}}
            function = lambda x, factor=factor, options=options: F.interpolate(x, scale_factor=factor, **options)
            case("resize", f"{mode}_factor_{name}", op, function, [random(1, 2, 4, 5)])


def reducing():
    names = ["batch", "channel", "height", "width"]
    kinds = {"mean": torch.mean, "sum": torch.sum}
    for i, axes in enumerate([(2, 3), (1,), (2,), (3,), (1, 3), (1, 2, 3), (3, 2), (0,), (0, 2), (0, 1, 2, 3)]):
        for keep in [True, False]:
            for kind in ["mean", "sum"] if i == 0 else [["mean", "sum"][(i + keep) % 2]]:
                if 0 in axes and not keep:
                    continue
                op = {"op": "reduce", "kind": kind, "axes": [names[i] for i in axes], "keep": keep}
                name = f"{kind}_{''.join(map(str, axes))}_{'keep' if keep else 'drop'}"
                call = lambda x, f=kinds[kind], axes=axes, keep=keep: f(x, dim=axes, keepdim=keep)
                case("reduce", name, op, call, [random(2, 3, 2, 4)])
    op = {"op": "reduce", "kind": "mean", "axes": ["channel"], "keep": False}
    case("reduce", "rank2", op, lambda x: x.mean(1), [random(2, 5)])
    case("reduce", "rank3", op, lambda x: x.mean(1), [random(2, 5, 3)])


def loss(name, attributes, function, x, target):
    """A loss: `target` is labels (integers) or values."""
    name = f"loss.{name}"
    x = x.clone().requires_grad_()
    value = function(x, target)
    value.backward()
    cases.append({"name": name, "group": "loss", "loss": attributes})
    kind = "values" if target.is_floating_point() else "labels"
    save(name, {"x": x, "d_x": x.grad, "value": value.reshape(1), kind: target.double()})


def losses():
    batch, classes = 3, 5
    labels = torch.tensor([4, 0, 2])
    shares = F.softmax(random(batch, classes), 1)

    def one_versus_rest(power):
        def of(x, labels):
            sign = 2.0 * F.one_hot(labels, classes) - 1.0
            return F.relu(1.0 - sign * x).pow(power).sum() / batch

        return of

    def best_rival(power):
        def of(x, labels):
            right = x.gather(1, labels[:, None])[:, 0]
            rival = x.masked_fill(F.one_hot(labels, classes).bool(), -torch.inf).amax(1)
            return F.relu(1.0 - right + rival).pow(power).mean()

        return of

    def binary(x, t):
        return F.binary_cross_entropy_with_logits(x, t, reduction="sum") / len(x)

    softmax = {"loss": "softmax_cross_entropy"}
    for name, scale in [("", 1.0), ("_large", 300.0)]:
        x = random(batch, classes, scale=scale)
        loss(f"softmax_labels{name}", softmax, F.cross_entropy, x, labels)
        loss(f"softmax_values{name}", softmax, F.cross_entropy, x, shares)
        loss(f"binary_values{name}", {"loss": "binary_cross_entropy"}, binary, x, torch.sigmoid(random(batch, classes)))
        loss(f"binary_hard{name}", {"loss": "binary_cross_entropy"}, binary, x, (random(batch, classes) > 0).double())
    yes_or_no = torch.tensor([1, 0, 1])
    by_labels = lambda x, t: binary(x, t[:, None].double())
    loss("binary_labels", {"loss": "binary_cross_entropy"}, by_labels, random(batch, 1), yes_or_no)
    halved = lambda x, t: 0.5 * F.mse_loss(x, t, reduction="sum") / batch
    loss("squared_error", {"loss": "squared_error"}, halved, random(batch, classes), random(batch, classes))
    for form, function in [("one_versus_rest", one_versus_rest), ("best_rival", best_rival)]:
        for norm, power in [("l1", 1), ("l2", 2)]:
            hinge = {"loss": "hinge", "form": form, "norm": norm}
            loss(f"hinge_{form}_{norm}", hinge, function(power), random(batch, classes), labels)


for make in [activations, prelu, softmax, joining, elementwise, reshaping, padding, resizing, reducing, losses]:
    make()
versions = {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": numpy.__version__}
OUT.parent.mkdir(parents=True, exist_ok=True)
metadata = {"made_by": "tests/refs/ops_elementwise.py", **versions, "cases": json.dumps(cases)}
safetensors.torch.save_file(tensors, OUT, metadata)
print(f"{OUT.name}: {len(cases)} cases, {OUT.stat().st_size} bytes, made by {versions}")
