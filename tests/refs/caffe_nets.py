#!/usr/bin/env python3
"""Small nets of Caffe with random weights and what they compute, for tests/it/imports/caffe.rs.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0, h5py 3.16.0 on the CPU, in float64:

    python3 tests/refs/caffe_nets.py

Writes tests/data/nets/caffe/: descriptions in all three spellings of layers, weights in both layouts of blobs by an
encoder of its own (field numbers as in caffe.proto), and references with `input`, `blob:LAYER` and `gradient:LAYER`
(of ½·sum(blob²) by the input). Layers follow Caffe's sources (pooling_layer.cpp, lrn_layer.cpp, …): see `COMPUTE`.
"""

import math
import struct
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "data" / "nets" / "caffe"


class Word(str):
    """A value of an enum."""


class Layer:
    def __init__(self, kind, name, bottom="", top=None, blobs=(), rules=(), **params):
        self.kind, self.name, self.blobs, self.rules, self.params = kind, name, list(blobs), list(rules), params
        self.bottoms = bottom.split()
        self.tops = (name if top is None else top).split()


def weights(*shape, scale=0.4):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


# ---- What layers compute ------------------------------------------------------------------------------------------


def sizes(params, name, default):
    given = params.get(name, default)
    given = given if isinstance(given, list) else [given]
    short = {"kernel_size": "kernel"}.get(name, name)
    h, w = params.get(f"{short}_h"), params.get(f"{short}_w")
    return [h, w] if h is not None else [given[0], given[-1]]


def convolution(p, blobs, x):
    bias = blobs[1] if p.get("bias_term", True) else None
    return F.conv2d(
        x, blobs[0], bias, sizes(p, "stride", 1), sizes(p, "pad", 0), sizes(p, "dilation", 1), p.get("group", 1)
    )


def deconvolution(p, blobs, x):
    bias = blobs[1] if p.get("bias_term", True) else None
    return F.conv_transpose2d(x, blobs[0], bias, sizes(p, "stride", 1), sizes(p, "pad", 0), 0, p.get("group", 1))


def pooling(p, blobs, x):
    """Window by window, as the loops of pooling_layer.cpp."""
    height, width = x.shape[2:]
    is_max = p.get("pool", "MAX") == "MAX"
    if p.get("global_pooling"):
        return x.amax((2, 3), keepdim=True) if is_max else x.mean((2, 3), keepdim=True)
    (kh, kw), (sh, sw), (ph, pw) = sizes(p, "kernel_size", 0), sizes(p, "stride", 1), sizes(p, "pad", 0)
    rounded = math.floor if p.get("round_mode") == "FLOOR" else math.ceil
    rows, columns = (rounded((height + 2 * ph - kh) / sh) + 1, rounded((width + 2 * pw - kw) / sw) + 1)
    if ph or pw:
        rows -= (rows - 1) * sh >= height + ph
        columns -= (columns - 1) * sw >= width + pw
    output = []
    for r in range(rows):
        for c in range(columns):
            top, left = r * sh - ph, c * sw - pw
            bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
            count = (bottom - top) * (right - left)
            window = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            output.append(window.amax((2, 3)) if is_max else window.sum((2, 3)) / count)
    return torch.stack(output, -1).reshape(*x.shape[:2], rows, columns)


def inner_product(p, blobs, x):
    weight = blobs[0].T if p.get("transpose") else blobs[0]
    return F.linear(x.flatten(1), weight, blobs[1] if p.get("bias_term", True) else None)


def lrn(p, blobs, x):
    size, alpha, beta = p.get("local_size", 5), p.get("alpha", 1.0), p.get("beta", 0.75)
    if p.get("norm_region") == "WITHIN_CHANNEL":
        mean = F.avg_pool2d(x * x, size, 1, size // 2, count_include_pad=True)
        return x * (1 + alpha * mean) ** -beta
    squares = F.pad(x * x, (0, 0, 0, 0, size // 2, size // 2))
    total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x * (p.get("k", 1.0) + alpha / size * total) ** -beta


def batch_norm(p, blobs, x):
    mean, variance = (b / blobs[2] for b in blobs[:2])
    return (x - mean[:, None, None]) / (variance[:, None, None] + p.get("eps", 1e-5)).sqrt()


def mvn(p, blobs, x):
    centred = x - x.mean((2, 3), keepdim=True)
    if not p.get("normalize_variance", True):
        return centred
    return centred / ((centred**2).mean((2, 3), keepdim=True).sqrt() + p.get("eps", 1e-9))


def scale(p, blobs, x, by=None):
    factor = blobs[0] if by is None else by
    y = x * factor[..., None, None]
    return y + blobs[1][:, None, None] if p.get("bias_term") else y


def eltwise(p, blobs, *xs):
    operation, coefficients = p.get("operation", "SUM"), p.get("coeff", [1.0] * len(xs))
    if operation == "PROD":
        return torch.stack(xs).prod(0)
    if operation == "MAX":
        return torch.stack(xs).amax(0)
    return sum(c * x for c, x in zip(coefficients, xs))


def slices(p, blobs, x):
    points = [0, *p["slice_point"], x.shape[p.get("axis", 1)]]
    return [x.narrow(p.get("axis", 1), a, b - a) for a, b in zip(points, points[1:])]


def reshape(p, blobs, x):
    dims = p["shape"]["dim"]
    return x.reshape([x.shape[i] if dim == 0 else dim for i, dim in enumerate(dims)])


def crop(p, blobs, x, reference):
    for i, axis in enumerate(range(p.get("axis", 2), 4)):
        x = x.narrow(axis, p["offset"][i], reference.shape[axis])
    return x


COMPUTE = {
    "AbsVal": lambda p, b, x: x.abs(),
    "BatchNorm": batch_norm,
    "Bias": lambda p, b, x: x + b[0][:, None, None],
    "Concat": lambda p, b, *xs: torch.cat(xs, p.get("axis", p.get("concat_dim", 1))),
    "Convolution": convolution,
    "Crop": crop,
    "Deconvolution": deconvolution,
    "Dropout": lambda p, b, x: x,
    "ELU": lambda p, b, x: F.elu(x, p.get("alpha", 1.0)),
    "Eltwise": eltwise,
    "Flatten": lambda p, b, x: x.flatten(p.get("axis", 1)),
    "InnerProduct": inner_product,
    "LRN": lrn,
    "MVN": mvn,
    "PReLU": lambda p, b, x: F.prelu(x, b[0].reshape(-1)),
    "Permute": lambda p, b, x: x.permute(p["order"]),
    "Pooling": pooling,
    "Power": lambda p, b, x: (p.get("shift", 0.0) + p.get("scale", 1.0) * x) ** p.get("power", 1.0),
    "ReLU": lambda p, b, x: F.leaky_relu(x, p.get("negative_slope", 0.0)),
    "Reshape": reshape,
    "Scale": scale,
    "Sigmoid": lambda p, b, x: torch.sigmoid(x),
    "Slice": slices,
    "Softmax": lambda p, b, x: F.softmax(x, p.get("axis", 1)),
    "SoftmaxWithLoss": lambda p, b, x, *labels: F.softmax(x, 1),
    "Split": lambda p, b, x: [x, x],
    "TanH": lambda p, b, x: torch.tanh(x),
}

# ---- How layers are written ---------------------------------------------------------------------------------------

PARAMS = {  # message: (number in LayerParameter, in V1LayerParameter, fields)
    "transform_param": (
        100,
        36,
        {"scale": (1, "f"), "mirror": (2, "i"), "crop_size": (3, "i"), "mean_value": (5, "f")},
    ),
    "concat_param": (104, 9, {"concat_dim": (1, "i"), "axis": (2, "i")}),
    "convolution_param": (
        106,
        10,
        {
            "num_output": (1, "i"),
            "bias_term": (2, "i"),
            "pad": (3, "i"),
            "kernel_size": (4, "i"),
            "group": (5, "i"),
            "stride": (6, "i"),
            "pad_h": (9, "i"),
            "pad_w": (10, "i"),
            "kernel_h": (11, "i"),
            "kernel_w": (12, "i"),
            "stride_h": (13, "i"),
            "stride_w": (14, "i"),
            "dilation": (18, "i"),
        },
    ),
    "data_param": (107, 11, {"source": (1, "s"), "batch_size": (4, "i")}),
    "dropout_param": (108, 12, {"dropout_ratio": (1, "f")}),
    "eltwise_param": (110, 24, {"operation": (1, ["PROD", "SUM", "MAX"]), "coeff": (2, "f")}),
    "inner_product_param": (117, 17, {"num_output": (1, "i"), "bias_term": (2, "i"), "transpose": (6, "i")}),
    "lrn_param": (
        118,
        18,
        {
            "local_size": (1, "i"),
            "alpha": (2, "f"),
            "beta": (3, "f"),
            "norm_region": (4, ["ACROSS_CHANNELS", "WITHIN_CHANNEL"]),
            "k": (5, "f"),
        },
    ),
    "mvn_param": (120, 34, {"normalize_variance": (1, "i")}),
    "pooling_param": (
        121,
        19,
        {
            "pool": (1, ["MAX", "AVE"]),
            "kernel_size": (2, "i"),
            "stride": (3, "i"),
            "pad": (4, "i"),
            "kernel_h": (5, "i"),
            "kernel_w": (6, "i"),
            "stride_h": (7, "i"),
            "stride_w": (8, "i"),
            "pad_h": (9, "i"),
            "pad_w": (10, "i"),
            "global_pooling": (12, "i"),
            "round_mode": (13, ["CEIL", "FLOOR"]),
        },
    ),
    "power_param": (122, 21, {"power": (1, "f"), "scale": (2, "f"), "shift": (3, "f")}),
    "relu_param": (123, 30, {"negative_slope": (1, "f")}),
    "slice_param": (126, 31, {"slice_point": (2, "i"), "axis": (3, "i")}),
    "prelu_param": (131, None, {"channel_shared": (2, "i")}),
    "reshape_param": (133, None, {"shape": (1, {"dim": (1, "i")})}),
    "flatten_param": (135, None, {"axis": (1, "i")}),
    "batch_norm_param": (139, None, {"eps": (3, "f")}),
    "elu_param": (140, None, {"alpha": (1, "f")}),
    "scale_param": (142, None, {"axis": (1, "i"), "bias_term": (4, "i")}),
    "input_param": (143, None, {"shape": (1, {"dim": (1, "i")})}),
    "crop_param": (144, None, {"axis": (1, "i"), "offset": (2, "i")}),
    "permute_param": (202, None, {"order": (1, "i")}),
}

V1_KINDS = {  # type: (name, number) in V1LayerParameter
    "Concat": ("CONCAT", 3),
    "Convolution": ("CONVOLUTION", 4),
    "Data": ("DATA", 5),
    "Dropout": ("DROPOUT", 6),
    "InnerProduct": ("INNER_PRODUCT", 14),
    "LRN": ("LRN", 15),
    "Pooling": ("POOLING", 17),
    "ReLU": ("RELU", 18),
    "SoftmaxWithLoss": ("SOFTMAX_LOSS", 21),
    "Split": ("SPLIT", 22),
    "Eltwise": ("ELTWISE", 25),
    "TanH": ("TANH", 23),
    "Accuracy": ("ACCURACY", 1),
}

V0_KINDS = {
    "Convolution": "conv",
    "InnerProduct": "innerproduct",
    "LRN": "lrn",
    "Pooling": "pool",
    "ReLU": "relu",
    "Softmax": "softmax",
    "Dropout": "dropout",
    "padding": "padding",
}
V0_FIELDS = {
    "name": (1, "s"),
    "type": (2, "s"),
    "num_output": (3, "i"),
    "biasterm": (4, "i"),
    "pad": (7, "i"),
    "kernelsize": (8, "i"),
    "group": (9, "i"),
    "stride": (10, "i"),
    "pool": (11, ["MAX", "AVE"]),
    "dropout_ratio": (12, "f"),
    "local_size": (13, "i"),
    "alpha": (14, "f"),
    "beta": (15, "f"),
    "k": (22, "f"),
}


def v0_params(layer):
    """The parameters of a layer, all side by side under their oldest names."""
    old = {"name": layer.name, "type": V0_KINDS[layer.kind]}
    for params in layer.params.values():
        old |= {{"kernel_size": "kernelsize", "bias_term": "biasterm"}.get(k, k): v for k, v in params.items()}
    return old


def text(fields, indent=0):
    lines = []
    for name, value in fields:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                lines.append(f"{' ' * indent}{name} {{\n{text(one.items(), indent + 2)}{' ' * indent}}}\n")
                continue
            shown = str(one).lower() if isinstance(one, bool) else f'"{one}"' if type(one) is str else one
            lines.append(f"{' ' * indent}{name}: {shown}\n")
    return "".join(lines)


def prototxt(spelling, name, layers, head=()):
    fields = [("name", name), *head]
    for layer in layers:
        edges = [("bottom", layer.bottoms), ("top", layer.tops)]
        if spelling == 0:
            fields.append(("layers", dict([("layer", v0_params(layer)), *edges])))
        else:
            kind = layer.kind if spelling == 2 else Word(V1_KINDS[layer.kind][0])
            rules = [("include", [{"phase": Word(rule)} for rule in layer.rules])]
            fields.append(
                (
                    ["", "layers", "layer"][spelling],
                    dict([("name", layer.name), ("type", kind), *edges, *rules, *layer.params.items()]),
                )
            )
    return text(fields)


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def delimited(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(table, fields):
    out = b""
    for name, value in fields.items():
        number, kind = table[name]
        for one in value if isinstance(value, list) else [value]:
            if isinstance(kind, dict):
                out += delimited(number, message(kind, one))
            elif isinstance(kind, list):
                out += varint(number << 3) + varint(kind.index(one))
            elif kind == "i":
                out += varint(number << 3) + varint(int(one))
            elif kind == "f":
                out += varint(number << 3 | 5) + struct.pack("<f", one)
            else:
                out += delimited(number, one.encode())
    return out


def blob(array, legacy, double=False):
    if legacy:  # num, channels, height, width; vectors are 1 × 1 × 1 × n
        shape = (1,) * (4 - array.ndim) + array.shape
        out = b"".join(varint(i + 1 << 3) + varint(dim) for i, dim in enumerate(shape))
    else:
        out = delimited(7, delimited(1, b"".join(varint(dim) for dim in array.shape)))
    return out + delimited(8 if double else 5, array.astype("<f8" if double else "<f4").tobytes())


def caffemodel(spelling, name, layers, double=False):
    out = delimited(1, name.encode())
    for layer in layers:
        blobs = [blob(b, spelling < 2, double) for b in layer.blobs]
        edges = lambda bottom, top: b"".join(
            [delimited(bottom, b.encode()) for b in layer.bottoms] + [delimited(top, t.encode()) for t in layer.tops]
        )
        if spelling == 0:
            inner = message(V0_FIELDS, v0_params(layer)) + b"".join(delimited(50, b) for b in blobs)
            out += delimited(2, delimited(1, inner) + edges(2, 3))
            continue
        params = b"".join(
            delimited(PARAMS[p][0 if spelling == 2 else 1], message(PARAMS[p][2], fields))
            for p, fields in layer.params.items()
        )
        if spelling == 1:
            head = delimited(4, layer.name.encode()) + varint(5 << 3) + varint(V1_KINDS[layer.kind][1])
            out += delimited(2, edges(2, 3) + head + b"".join(delimited(6, b) for b in blobs) + params)
        else:
            head = delimited(1, layer.name.encode()) + delimited(2, layer.kind.encode())
            out += delimited(100, head + edges(3, 4) + b"".join(delimited(7, b) for b in blobs) + params)
    return out


# ---- Nets ---------------------------------------------------------------------------------------------------------


def run(layers, shape, blobs_kept, gradients_kept, path):
    """Computes a net on a random picture and keeps what is asked for, by the names of layers."""
    x = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).double().requires_grad_()
    kept = {"input": x.detach().numpy().astype(np.float32)}
    blobs, by_layer = {}, {}
    for layer in layers:
        if not layer.bottoms:
            blobs[layer.tops[0]] = x
            continue
        if layer.kind in ("padding", "Accuracy"):
            blobs[layer.tops[0]] = blobs[layer.bottoms[0]]
            continue
        params = next((fields for name, fields in layer.params.items() if name != "transform_param"), {})
        inputs = [blobs[b] for b in layer.bottoms if b != "label"]
        result = COMPUTE[layer.kind](params, [torch.from_numpy(b).double() for b in layer.blobs], *inputs)
        results = result if isinstance(result, list) else [result]
        blobs |= dict(zip(layer.tops, results))
        by_layer |= dict(zip(layer.tops, results)) if len(results) > 1 else {layer.name: results[0]}
    for name in blobs_kept:
        kept[f"blob:{name}"] = by_layer[name].detach().numpy().astype(np.float32)
    for name in gradients_kept:
        (gradient,) = torch.autograd.grad((by_layer[name] ** 2).sum() / 2, x, retain_graph=True)
        kept[f"gradient:{name}"] = gradient.numpy().astype(np.float32)
    save_file({k: np.ascontiguousarray(v) for k, v in kept.items()}, OUT / path)


def alex():
    """As AlexNet: groups, normalization across channels, sizes that round up; newest spelling."""
    layers = [
        Layer("Input", "data", input_param={"shape": {"dim": [10, 3, 35, 31]}}),
        Layer(
            "Convolution",
            "conv1",
            "data",
            blobs=[weights(6, 3, 5, 3), weights(6)],
            convolution_param={"num_output": 6, "kernel_h": 5, "kernel_w": 3, "stride": 2, "pad_h": 1, "pad_w": 0},
        ),
        Layer("ReLU", "relu1", "conv1", "conv1"),
        Layer("LRN", "norm1", "conv1", lrn_param={"local_size": 3, "alpha": 0.3, "beta": 0.75, "k": 2.0}),
        Layer("Pooling", "pool1", "norm1", pooling_param={"pool": Word("MAX"), "kernel_size": 3, "stride": 2}),
        Layer(
            "Convolution",
            "conv2",
            "pool1",
            blobs=[weights(8, 3, 3, 3)],
            convolution_param={
                "num_output": 8,
                "kernel_size": 3,
                "pad": 2,
                "dilation": 2,
                "group": 2,
                "bias_term": False,
            },
        ),
        Layer("PReLU", "prelu2", "conv2", "conv2", blobs=[weights(8)]),
        Layer(
            "Pooling",
            "pool2",
            "conv2",
            pooling_param={
                "pool": Word("AVE"),
                "kernel_h": 3,
                "kernel_w": 2,
                "stride_h": 2,
                "stride_w": 3,
                "pad_h": 1,
                "pad_w": 1,
            },
        ),
        Layer(
            "InnerProduct",
            "fc3",
            "pool2",
            blobs=[weights(8 * 5 * 3, 7), weights(7)],
            inner_product_param={"num_output": 7, "transpose": True},
        ),
        Layer("Dropout", "drop3", "fc3", "fc3", dropout_param={"dropout_ratio": 0.25}),
        Layer("ReLU", "relu3", "fc3", "fc3", relu_param={"negative_slope": 0.125}),
        Layer("InnerProduct", "fc4", "fc3", blobs=[weights(5, 7), weights(5)], inner_product_param={"num_output": 5}),
        Layer("Softmax", "prob", "fc4"),
    ]
    (OUT / "alex.prototxt").write_text(prototxt(2, "Alex", layers))
    (OUT / "alex.caffemodel").write_bytes(caffemodel(2, "Alex", layers))
    with h5py.File(OUT / "alex.caffemodel.h5", "w") as file:
        for layer in layers:
            group = file.create_group(f"data/{layer.name}")
            for i, array in enumerate(layer.blobs):
                group.create_dataset(str(i), data=array)
    run(
        layers,
        (1, 3, 35, 31),
        ["conv1", "relu1", "norm1", "pool1", "prelu2", "pool2", "relu3", "prob"],
        ["norm1", "pool2", "prob"],
        "alex.safetensors",
    )


def goog():
    """As GoogLeNet: branches, splits, a head for training alone; the middle spelling, of training and of use."""
    data = lambda phase: Layer(
        "Data",
        "data",
        "",
        "data label",
        rules=[phase],
        data_param={"source": "x", "batch_size": 4},
        transform_param={
            "scale": 0.5,
            "mirror": phase == "TRAIN",
            "crop_size": 21,
            "mean_value": [104.0, 117.0, 123.0],
        },
    )
    conv = lambda name, bottom, inputs, outputs, size, pad: Layer(
        "Convolution",
        name,
        bottom,
        blobs=[weights(outputs, inputs, size, size), weights(outputs)],
        convolution_param={"num_output": outputs, "kernel_size": size, "pad": pad},
    )
    body = [
        conv("conv1/5x5", "data", 3, 6, 5, 2),
        Layer("ReLU", "conv1/relu", "conv1/5x5", "conv1/5x5"),
        Layer(
            "LRN",
            "conv1/norm",
            "conv1/5x5",
            lrn_param={"local_size": 3, "alpha": 0.5, "norm_region": Word("WITHIN_CHANNEL")},
        ),
        Layer("Pooling", "pool1", "conv1/norm", pooling_param={"pool": Word("MAX"), "kernel_size": 3, "stride": 2}),
        conv("inc/1x1", "pool1", 6, 4, 1, 0),
        conv("inc/3x3", "pool1", 6, 5, 3, 1),
        Layer(
            "Pooling", "inc/pool", "pool1", pooling_param={"pool": Word("MAX"), "kernel_size": 3, "stride": 1, "pad": 1}
        ),
        Layer("Concat", "inc/output", "inc/1x1 inc/3x3 inc/pool", concat_param={"concat_dim": 1}),
        Layer("Eltwise", "sum", "inc/1x1 inc/1x1", eltwise_param={"operation": Word("SUM"), "coeff": [1.5, -0.25]}),
        Layer("TanH", "aux/tanh", "sum"),
        Layer(
            "InnerProduct",
            "aux/fc",
            "aux/tanh",
            blobs=[weights(5, 400, scale=0.1), weights(5)],
            inner_product_param={"num_output": 5},
        ),
        Layer("SoftmaxWithLoss", "aux/loss", "aux/fc label", "aux/loss"),
        Layer("Pooling", "pool2", "inc/output", pooling_param={"pool": Word("AVE"), "kernel_size": 3, "stride": 3}),
        Layer("Dropout", "drop", "pool2", "pool2", dropout_param={"dropout_ratio": 0.4}),
        Layer(
            "InnerProduct",
            "fc",
            "pool2",
            blobs=[weights(5, 15 * 16, scale=0.1), weights(5)],
            inner_product_param={"num_output": 5},
        ),
    ]
    accuracy = Layer("Accuracy", "right", "fc label", rules=["TEST"])
    loss = Layer("SoftmaxWithLoss", "loss", "fc label")
    described = [data("TRAIN"), data("TEST"), *body, accuracy, loss]
    (OUT / "goog_train_val.prototxt").write_text(prototxt(1, "Goog", described))
    # As Caffe writes the net of training: with its splits.
    split = Layer("Split", "pool1_split", "pool1", "pool1_split_0 pool1_split_1 pool1_split_2")
    written = [data("TRAIN"), *body[:4], split, *body[4:], loss]
    readers = [layer for layer in written if layer.bottoms == ["pool1"] and layer is not split]
    for i, layer in enumerate(readers):
        layer.bottoms = [f"pool1_split_{i}"]
    (OUT / "goog.caffemodel").write_bytes(caffemodel(1, "Goog", written))
    for layer in readers:
        layer.bottoms = ["pool1"]
    run(
        described,
        (1, 3, 21, 21),
        ["conv1/relu", "conv1/norm", "inc/output", "pool2", "drop", "loss"],
        ["conv1/norm", "inc/output", "loss"],
        "goog.safetensors",
    )


def res():
    """As a residual net, and the newer layers; newest spelling, double precision."""
    layers = [
        Layer(
            "Convolution",
            "conv",
            "data",
            blobs=[weights(4, 3, 3, 3)],
            convolution_param={"num_output": 4, "kernel_size": 3, "bias_term": False, "pad": 1},
        ),
        Layer(
            "BatchNorm",
            "bn",
            "conv",
            "conv",
            blobs=[weights(4) * 3, np.abs(weights(4)) * 3 + 1, np.float32([3.0])],
            batch_norm_param={"eps": 1e-3},
        ),
        Layer("Scale", "scale", "conv", "conv", blobs=[weights(4) + 1, weights(4)], scale_param={"bias_term": True}),
        Layer("ELU", "elu", "conv", "elu", elu_param={"alpha": 0.7}),
        Layer(
            "Deconvolution",
            "up",
            "elu",
            blobs=[weights(4, 2, 4, 4), weights(4)],
            convolution_param={"num_output": 4, "kernel_size": 4, "stride": 2, "pad": 1, "group": 2},
        ),
        Layer(
            "Pooling",
            "down",
            "up",
            pooling_param={"pool": Word("AVE"), "kernel_size": 2, "stride": 2, "round_mode": Word("FLOOR")},
        ),
        Layer("Eltwise", "sum", "down conv"),
        Layer("Slice", "slice", "sum", "left right", slice_param={"axis": 1, "slice_point": [2]}),
        Layer("Eltwise", "max", "left right", eltwise_param={"operation": Word("MAX")}),
        Layer("AbsVal", "abs", "left"),
        Layer("Power", "power", "right", power_param={"power": 2.0, "scale": 0.5, "shift": 0.25}),
        Layer("Eltwise", "product", "max abs", eltwise_param={"operation": Word("PROD")}),
        Layer("Concat", "concat", "product power", concat_param={"axis": -3}),
        Layer("Bias", "bias", "concat", blobs=[weights(4)]),
        Layer("MVN", "mvn", "bias"),
        Layer("Pooling", "squeeze", "mvn", pooling_param={"pool": Word("MAX"), "global_pooling": True}),
        Layer("Flatten", "flat", "squeeze"),
        Layer("Sigmoid", "gate", "flat"),
        Layer("Scale", "gated", "mvn gate", scale_param={"axis": 0}),
        Layer("MVN", "centred", "gated", mvn_param={"normalize_variance": False}),
        Layer("PReLU", "prelu", "centred", blobs=[weights(1)], prelu_param={"channel_shared": True}),
        Layer("Permute", "permute", "prelu", permute_param={"order": [0, 2, 3, 1]}),
        Layer("Reshape", "reshape", "permute", reshape_param={"shape": {"dim": [0, -1, 9, 2]}}),
        Layer("Pooling", "pooled", "reshape", pooling_param={"pool": Word("AVE"), "kernel_size": 2, "stride": 2}),
        Layer("Crop", "crop", "reshape pooled", crop_param={"axis": 2, "offset": [3, 1]}),
        Layer("Power", "affine", "crop", power_param={"scale": 2.0, "shift": -0.5}),
        Layer(
            "InnerProduct", "fc", "affine", blobs=[weights(3, 100), weights(3)], inner_product_param={"num_output": 3}
        ),
        Layer("Softmax", "prob", "fc"),
    ]
    head = [("input", "data"), ("input_shape", {"dim": [1, 3, 10, 9]})]
    (OUT / "res.prototxt").write_text(prototxt(2, "Res", layers, head))
    (OUT / "res.caffemodel").write_bytes(caffemodel(2, "Res", layers, double=True))
    source = [Layer("Input", "data")]
    run(
        source + layers,
        (1, 3, 10, 9),
        [
            "bn",
            "scale",
            "up",
            "down",
            "sum",
            "right",
            "max",
            "product",
            "power",
            "concat",
            "mvn",
            "gated",
            "centred",
            "prelu",
            "permute",
            "reshape",
            "pooled",
            "crop",
            "affine",
            "prob",
        ],
        ["down", "product", "power", "centred", "crop", "prob"],
        "res.safetensors",
    )


def old():
    """The oldest spelling: padding is a layer of its own."""
    layers = [
        Layer("padding", "pad1", "data", params={"pad": 2}),
        Layer(
            "Convolution",
            "conv1",
            "pad1",
            blobs=[weights(8, 1, 5, 5), weights(8)],
            params={"num_output": 8, "kernel_size": 5, "stride": 2},
        ),
        Layer("ReLU", "relu1", "conv1", "conv1"),
        Layer("Pooling", "pool1", "conv1", params={"pool": Word("MAX"), "kernel_size": 3, "stride": 2}),
        Layer("LRN", "norm1", "pool1", params={"local_size": 5, "alpha": 0.2, "beta": 0.5}),
        Layer(
            "Convolution",
            "conv2",
            "norm1",
            blobs=[weights(4, 4, 3, 3)],
            params={"num_output": 4, "kernel_size": 3, "group": 2, "bias_term": False, "pad": 1},
        ),
        Layer("InnerProduct", "fc3", "conv2", blobs=[weights(4, 100, scale=0.1), weights(4)], params={"num_output": 4}),
        Layer("Dropout", "drop3", "fc3", "fc3", params={"dropout_ratio": 0.5}),
        Layer("Softmax", "prob", "fc3"),
    ]
    head = [("input", "data"), ("input_dim", [1, 1, 19, 20])]
    (OUT / "old.prototxt").write_text(prototxt(0, "Old", layers, head))
    (OUT / "old.caffemodel").write_bytes(caffemodel(0, "Old", layers))
    computed = [Layer("Input", "data"), *layers]
    layers[1].params = {"params": {"num_output": 8, "kernel_size": 5, "stride": 2, "pad": 2}}
    run(computed, (1, 1, 19, 20), ["conv1", "norm1", "conv2", "prob"], ["norm1", "prob"], "old.safetensors")


OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(2014)
for make in (alex, goog, res, old):
    make()
