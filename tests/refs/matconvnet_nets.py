"""Small MatConvNet nets with random weights, and what they compute, for tests/it/imports/matconvnet.rs.

The .mat files follow the layouts that MatConvNet's releases publish (SimpleNN old and new, DagNN); the numbers are in
f64 by PyTorch with MatConvNet's conventions: arrays height x width x depth x number, pooling floors and averages over
the pixels inside, alpha of LRN is not divided by N, moments of batch norm are used as stored.

Made with Python 3.11, numpy 2.4, scipy 1.17, torch 2.15. Run from anywhere: python tests/refs/matconvnet_nets.py
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from scipy.io import loadmat, savemat

OUT = Path(__file__).resolve().parents[1] / "data" / "nets" / "matconvnet"
rng = np.random.default_rng(2016)


def single(*shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def filters(height, width, depth, number):
    return single(height, width, depth, number, scale=(2.0 / (height * width * depth)) ** 0.5)


def oihw(array):
    array = np.asarray(array, dtype=np.float64)
    array = array.reshape(array.shape + (1,) * (4 - array.ndim))
    return torch.from_numpy(array.transpose(3, 2, 0, 1).copy())


def vector(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64).reshape(-1, order="F").copy())


def sides(pad):
    top, bottom, left, right = np.broadcast_to(pad, 4)
    return [int(left), int(right), int(top), int(bottom)]


def pair(value):
    return tuple(int(v) for v in np.broadcast_to(value, 2))


def conv(x, f, b, pad=0, stride=1, dilate=1):
    weight = oihw(f)
    bias = vector(b) if np.size(b) else None
    x = F.pad(x, sides(pad))
    return F.conv2d(x, weight, bias, pair(stride), 0, pair(dilate), x.shape[1] // weight.shape[1])


def convt(x, f, b, upsample=1, crop=0, groups=1):
    weight = oihw(f)  # [depth, group channels, height, width]
    y = F.conv_transpose2d(x, weight, vector(b) if np.size(b) else None, pair(upsample), groups=int(groups))
    left, right, top, bottom = sides(crop)
    return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]


def pool(x, size, method="max", pad=0, stride=1):
    size, stride = pair(size), pair(stride)
    if method == "max":
        return F.max_pool2d(F.pad(x, sides(pad), value=-torch.inf), size, stride)
    count = F.avg_pool2d(F.pad(torch.ones_like(x), sides(pad)), size, stride)
    return F.avg_pool2d(F.pad(x, sides(pad)), size, stride) / count


def lrn(x, param):
    n, kappa, alpha, beta = param
    n, channels = int(n), x.shape[1]
    sums = []
    for k in range(channels):
        low, high = max(0, k - (n - 1) // 2), min(channels - 1, k + -(-(n - 1) // 2))
        sums.append((x[:, low : high + 1] ** 2).sum(1, keepdim=True))
    return x / (kappa + alpha * torch.cat(sums, 1)) ** beta


def spnorm(x, param):
    height, width, alpha, beta = param
    before = [(int(v) - 1) // 2 for v in (height, width)]
    after = [int(v) - 1 - b for v, b in zip((height, width), before)]
    energy = pool(x * x, (int(height), int(width)), "avg", [before[0], after[0], before[1], after[1]])
    return x / (1 + alpha * energy) ** beta


def noffset(x, param):
    energy = (x * x).sum(1, keepdim=True).clamp(min=1e-8)
    return x - param[0] * energy ** param[1]


def by_channel(values):
    return vector(values).reshape(1, -1, 1, 1)


def bnorm(x, g, b, moments):
    mean, sigma = by_channel(moments[:, 0]), by_channel(moments[:, 1])
    return by_channel(g) * (x - mean) / sigma + by_channel(b)


def moments(channels, least=0.5):
    mean = single(channels, scale=0.3)
    return np.stack([mean, (least + rng.random(channels)).astype(np.float32)], 1)


def simple_layer(x, layer):
    """One SimpleNN layer, with MatConvNet's defaults."""
    kind = layer["type"]
    w = list(layer["weights"][0]) if "weights" in layer else [layer.get("filters"), layer.get("biases")]
    if kind == "conv":
        return conv(x, w[0], w[1], layer.get("pad", 0), layer.get("stride", 1), layer.get("dilate", 1))
    if kind == "convt":
        crop, up = layer.get("crop", 0), layer.get("upsample", 1)
        return convt(x, w[0], w[1], up, crop, layer.get("numGroups", 1))
    if kind == "pool":
        return pool(x, layer["pool"], layer["method"], layer.get("pad", 0), layer.get("stride", 1))
    if kind in ("normalize", "lrn"):
        return lrn(x, layer["param"])
    if kind == "relu":
        return F.leaky_relu(x, layer.get("leak", 0.0))
    if kind == "pdist":
        difference = (x - by_channel(layer["class"])).abs() ** layer["p"]
        return difference.sum(1, keepdim=True) ** (1.0 if layer["noRoot"] else 1.0 / layer["p"])
    functions = {
        "sigmoid": torch.sigmoid,
        "dropout": lambda x: x,
        "softmax": lambda x: F.softmax(x, 1),
        "softmaxloss": lambda x: F.softmax(x, 1),
        "spnorm": lambda x: spnorm(x, layer["param"]),
        "noffset": lambda x: noffset(x, layer["param"]),
        "bnorm": lambda x: bnorm(x, *w),
    }
    return functions[kind](x)


def cell(*items):
    array = np.empty((1, len(items)), dtype=object)
    for i, item in enumerate(items):
        array[0, i] = item
    return array


def struct_array(records):
    array = np.empty((1, len(records)), dtype=[(field, object) for field in records[0]])
    for i, record in enumerate(records):
        for field, value in record.items():
            array[0, i][field] = value
    return array


def save_net(path, variables, compress):
    savemat(path, variables, do_compression=compress)
    content = path.read_bytes()
    # scipy writes the time into the descriptive text.
    path.write_bytes(b"MATLAB 5.0 MAT-file, written by scipy".ljust(116) + content[116:])


def save_reference(path, x, blobs, chosen):
    tensors = {"input": x.detach().numpy()}
    for name in chosen:
        (gradient,) = torch.autograd.grad(0.5 * (blobs[name] ** 2).sum(), x, retain_graph=True)
        tensors[f"blob:{name}"] = blobs[name].detach().numpy().copy()
        tensors[f"gradient:{name}"] = gradient.numpy()
    save_file(tensors, path)


def picture(*shape, scale=1.0):
    return torch.from_numpy(scale * rng.standard_normal(shape)).requires_grad_()


def run_simple(layers, x):
    blobs = {}
    for number, layer in enumerate(layers, 1):
        x = simple_layer(x, layer)
        unnamed = "softmax" if layer["type"] == "softmaxloss" else f"layer{number}"
        blobs[layer.get("name", unnamed)] = x
    return blobs


def old_simple(folder):
    """As imagenet-vgg-f.mat of 2014: filters and biases, normalization and classes beside the layers."""
    layers = [
        {"type": "conv", "name": "conv1", "filters": filters(5, 4, 3, 8), "biases": single(1, 8, scale=0.1),
         "stride": [2.0, 1.0], "pad": [0.0, 1.0, 2.0, 1.0]},
        {"type": "relu", "name": "relu1"},
        {"type": "normalize", "name": "norm1", "param": [5.0, 2.0, 0.02, 0.75]},
        {"type": "pool", "name": "pool1", "method": "max", "pool": [3.0, 3.0], "stride": 2.0, "pad": [0.0, 1.0, 0.0, 1.0]},
        {"type": "conv", "name": "conv2", "filters": filters(3, 3, 4, 6), "biases": single(1, 6, scale=0.1),
         "stride": 1.0, "pad": 1.0},
        {"type": "relu", "name": "relu2"},
        {"type": "pool", "name": "pool2", "method": "avg", "pool": [2.0, 3.0], "stride": [2.0, 2.0], "pad": [1.0, 0.0, 1.0, 1.0]},
        {"type": "conv", "name": "fc6", "filters": filters(2, 3, 6, 10), "biases": single(1, 10, scale=0.1),
         "stride": 1.0, "pad": 0.0},
        {"type": "relu", "name": "relu6"},
        {"type": "dropout", "name": "drop6", "rate": 0.5},
        {"type": "conv", "name": "fc7", "filters": filters(1, 1, 10, 1), "biases": single(1, 1), "stride": 1.0, "pad": 0.0},
        {"type": "conv", "name": "fc8", "filters": filters(1, 1, 1, 4), "biases": single(1, 4), "stride": 1.0, "pad": 0.0},
        {"type": "softmax", "name": "prob"},
    ]
    x = picture(1, 3, 18, 13)
    blobs = run_simple(layers, x)
    average = (120 + 5 * single(18, 13, 3)).astype(np.float32)
    average[:, :, 1] -= 20
    net = {
        "layers": cell(*layers),
        "classes": {"name": cell("n01", "n02", "n03", "n04"), "description": cell("tench, Tinca", "goldfish", "shark", "ray")},
        "normalization": {"imageSize": [18.0, 13.0, 3.0], "averageImage": average, "border": [0.0, 0.0], "keepAspect": 1.0},
    }
    save_net(folder / "old_simple.mat", net, False)
    save_reference(folder / "old_simple.safetensors", x, blobs, ["norm1", "pool2", "prob"])


def checkpoint(folder):
    """As cnn_train's net-epoch-N.mat: `net` beside `info`; unnamed layers, small integers, a loss at the end."""
    layers = [
        {"type": "conv", "weights": cell(filters(3, 3, 1, 6), np.zeros((0, 0), np.float32)), "stride": np.uint8(1), "pad": np.uint8(1),
         "dilate": np.uint8(2), "learningRate": [0.1, 2.0], "momentum": cell(single(3, 3, 1, 6), single(1, 6))},
        {"type": "bnorm", "weights": cell(single(6, 1), single(6, 1), moments(6, 0.005))},
        {"type": "relu", "leak": 0.1},
        {"type": "lrn", "param": [4.0, 1.0, 0.3, 0.75]},
        {"type": "pool", "method": "avg", "pool": np.uint8(3), "stride": np.uint8(2), "pad": np.uint8([0, 1, 0, 1])},
        {"type": "spnorm", "param": [2.0, 3.0, 0.7, 0.6]},
        {"type": "noffset", "param": [0.2, 0.7]},
        {"type": "convt", "weights": cell(filters(3, 4, 2, 6), single(4, 1)), "upsample": [2.0, 1.0], "crop": [1.0, 0.0, 2.0, 1.0],
         "numGroups": 2.0},
        {"type": "sigmoid"},
        {"type": "conv", "weights": cell(filters(12, 5, 4, 10), single(1, 10)), "stride": np.uint8(1), "pad": np.uint8(0)},
        {"type": "dropout", "rate": 0.25},
        {"type": "softmaxloss", "class": np.uint8([[1, 2]])},
    ]
    x = picture(1, 1, 14, 12)
    blobs = run_simple(layers, x)
    net = {
        "layers": cell(*layers),
        "meta": {"inputSize": [14.0, 12.0, 1.0], "classes": {"name": cell(*"0123456789")}, "trainOpts": {"learningRate": 0.001}},
    }
    info = {"train": {"objective": [0.5, 0.25]}, "val": {"objective": [0.6, 0.3]}}
    save_net(folder / "checkpoint.mat", {"info": info, "net": net}, True)
    chosen = ["layer2", "layer5", "layer8", "softmax"]
    save_reference(folder / "checkpoint.safetensors", x, blobs, chosen)


def published(folder):
    """The outputs of the real checkpoint that may lie beside the checkout."""
    path = Path(__file__).resolve().parents[3] / "shared/data/nets/matconvnet/mnist2class-lenet/net-epoch-50.mat"
    if not path.exists():
        return print(f"left out: there is no {path.name}")
    layers = []
    for record in loadmat(path)["net"]["layers"][0, 0][0]:
        record = {field: record[field][0, 0] for field in record.dtype.names}
        layer = {field: record[field].reshape(-1) for field in ("stride", "pad", "pool") if field in record}
        layer |= {field: record[field][0] for field in ("type", "method") if field in record}
        if "weights" in record:
            layer["weights"] = record["weights"]
        layers.append(layer)
    x = torch.from_numpy(30 * np.random.default_rng(1).standard_normal((1, 3, 32, 32))).requires_grad_()
    blobs = run_simple(layers, x)
    save_reference(folder / "mnist2class-lenet.safetensors", x, blobs, ["softmax"])


def distance(folder):
    """A net that ends in a distance to a stored descriptor, as neural inversion uses them."""
    layers = [
        {"type": "conv", "name": "conv", "weights": cell(filters(3, 3, 3, 5), single(1, 5)), "stride": 1.0, "pad": 0.0},
        {"type": "pdist", "name": "distance", "class": single(1, 1, 5), "p": 3.0, "noRoot": 0.0, "epsilon": 1e-6, "aggregate": 0.0},
    ]
    x = picture(1, 3, 6, 7)
    blobs = run_simple(layers, x)
    save_net(folder / "distance.mat", {"layers": cell(*layers), "meta": {"inputSize": [6.0, 7.0, 3.0]}}, True)
    save_reference(folder / "distance.safetensors", x, blobs, ["conv", "distance"])


def dag(folder):
    """As imagenet-googlenet-dag.mat and imagenet-resnet-*-dag.mat; layers out of order, heads that only train."""
    params, layers = [], []

    def param(name, value):
        params.append({"name": name, "value": value, "learningRate": 1.0, "weightDecay": 1.0})
        return name

    def layer(name, kind, inputs, outputs, block, weights=()):
        layers.append({"name": name, "type": kind, "inputs": cell(*inputs), "outputs": cell(*outputs),
                       "params": cell(*weights), "block": block})

    def add_conv(name, source, f, b, **block):
        weights = [param(f"{name}f", f)] + ([param(f"{name}b", b)] if b is not None else [])
        size = list(np.array(f.shape + (1,) * (4 - f.ndim), dtype=np.float64))
        layer(name, "dagnn.Conv", [source], [name], {"size": size, "hasBias": float(b is not None), **block}, weights)

    f = {name: single(*shape, scale=(2.0 / np.prod(shape[:3])) ** 0.5) for name, shape in {
        "conv1": (3, 3, 3, 8), "a": (1, 1, 8, 3), "b": (3, 3, 8, 4), "c": (1, 1, 8, 2), "res": (3, 3, 9, 9), "gate": (1, 1, 9, 9),
        "up": (2, 2, 3, 9), "fc": (1, 1, 3, 5), "aux": (1, 1, 8, 5)}.items()}
    b = {"conv1": single(8, 1, scale=0.1), "a": single(3, 1), "b": single(4, 1), "c": single(2, 1), "fc": single(5, 1),
         "aux": single(5, 1), "gate": single(9, 1), "up": single(3, 1)}
    mom, g, beta = moments(9), single(9, 1), single(9, 1)
    factor, offset = single(1, 1, 9), single(1, 1, 9)
    slide = {"pad": [1.0, 1.0, 1.0, 1.0], "stride": [1.0, 1.0]}
    none = {"pad": [0.0] * 4, "stride": [1.0, 1.0]}

    add_conv("conv1", "data", f["conv1"], b["conv1"], pad=[1.0, 0.0, 0.0, 1.0], stride=[2.0, 1.0], dilate=[1.0, 1.0], opts=cell("cuDNN"))
    layer("conv1_relu", "dagnn.ReLU", ["conv1"], ["conv1x"], {"useShortCircuit": 1.0, "leak": 0.0, "opts": cell()})
    # Concat before its branches: the file's order is not the running order.
    layer("mixed", "dagnn.Concat", ["a", "b", "c"], ["mixed"], {"dim": 3.0, "numInputs": 3.0})
    add_conv("a", "conv1x", f["a"], b["a"], **none)
    add_conv("b", "conv1x", f["b"], b["b"], **slide)
    layer("c_pool", "dagnn.Pooling", ["conv1x"], ["c_pool"], {"method": "max", "poolSize": [3.0, 3.0], "opts": cell(), **slide})
    add_conv("c", "c_pool", f["c"], b["c"], **none)
    add_conv("res", "mixed", f["res"], None, **slide)
    layer("res_bn", "dagnn.BatchNorm", ["res"], ["res_bn"], {"numChannels": 9.0, "epsilon": 1e-5},
          [param("res_bng", g), param("res_bnb", beta), param("res_bnm", mom)])
    layer("res_scale", "dagnn.Scale", ["res_bn"], ["res_scale"], {"size": [1.0, 1.0, 9.0, 1.0], "hasBias": 1.0},
          [param("sf", factor), param("sb", offset)])
    layer("sum", "dagnn.Sum", ["mixed", "res_scale"], ["sum"], {"numInputs": 2.0})
    layer("leaky", "dagnn.ReLU", ["sum"], ["leaky"], {"useShortCircuit": 1.0, "opts": cell("leak", 0.2)})
    layer("squeeze", "dagnn.GlobalPooling", ["leaky"], ["squeeze"], {"method": "avg"})
    add_conv("gate", "squeeze", f["gate"], b["gate"], **none)
    layer("gate_sigmoid", "dagnn.Sigmoid", ["gate"], ["gates"], {})
    layer("axpy", "dagnn.Axpy", ["gates", "leaky", "sum"], ["axpy"], {})
    layer("lrn", "dagnn.LRN", ["axpy"], ["lrn"], {"param": [3.0, 1.0, 0.1, 0.5]})
    layer("up", "dagnn.ConvTranspose", ["lrn"], ["up"],
          {"size": [2.0, 2.0, 3.0, 9.0], "hasBias": 1.0, "upsample": [2.0, 2.0], "crop": [0.0, 0.0, 0.0, 0.0], "numGroups": 1.0, "opts": cell()},
          [param("upf", f["up"]), param("upb", b["up"])])
    layer("avg", "dagnn.Pooling", ["up"], ["avg"], {"method": "avg", "poolSize": [8.0, 14.0], "pad": [0.0] * 4, "stride": [1.0, 1.0]})
    layer("drop", "dagnn.DropOut", ["avg"], ["drop"], {"rate": 0.4, "frozen": 0.0})
    add_conv("fc", "drop", f["fc"], b["fc"], **none)
    layer("objective", "dagnn.Loss", ["fc", "label"], ["objective"], {"loss": "softmaxlog"})
    layer("top1err", "dagnn.Loss", ["fc", "label"], ["top1err"], {"loss": "classerror"})
    layer("distance", "dagnn.PDist", ["fc", "code"], ["distance"], {"p": 2.0, "aggregate": 1.0})

    x = picture(1, 3, 8, 8)
    v = {"conv1": conv(x, f["conv1"], b["conv1"], [1, 0, 0, 1], [2, 1])}
    v["conv1_relu"] = F.relu(v["conv1"])
    v["a"] = conv(v["conv1_relu"], f["a"], b["a"])
    v["b"] = conv(v["conv1_relu"], f["b"], b["b"], 1)
    v["c"] = conv(pool(v["conv1_relu"], 3, "max", 1), f["c"], b["c"])
    v["mixed"] = torch.cat([v["a"], v["b"], v["c"]], 1)
    v["res_bn"] = bnorm(conv(v["mixed"], f["res"], [], 1), g, beta, mom)
    v["res_scale"] = v["res_bn"] * by_channel(factor) + by_channel(offset)
    v["sum"] = v["mixed"] + v["res_scale"]
    v["leaky"] = F.leaky_relu(v["sum"], 0.2)
    gates = torch.sigmoid(conv(v["leaky"].mean((2, 3), keepdim=True), f["gate"], b["gate"]))
    v["axpy"] = gates * v["leaky"] + v["sum"]
    v["lrn"] = lrn(v["axpy"], [3, 1.0, 0.1, 0.5])
    v["up"] = convt(v["lrn"], f["up"], b["up"], 2)
    v["fc"] = conv(pool(v["up"], (8, 14), "avg"), f["fc"], b["fc"])
    v["softmax"] = F.softmax(v["fc"], 1)

    variables = struct_array([{"name": name, "precious": 0.0} for name in ["data", "label", *(l["outputs"][0, 0] for l in layers)]])
    net = {
        "vars": variables, "params": struct_array(params), "layers": struct_array(layers), "conserveMemory": 1.0,
        "meta": {"normalization": {"imageSize": [8.0, 8.0, 3.0], "averageImage": np.float32([[[123.0, 117.0, 104.0]]])},
                 "inputSize": cell("data", [8.0, 8.0, 3.0, 32.0])},
    }
    chosen = ["mixed", "res_scale", "axpy", "lrn", "up", "softmax"]
    save_net(folder / "dag.mat", net, True)
    save_reference(folder / "dag.safetensors", x, v, chosen)


def branches(folder):
    """A DagNN of few layers, for matconvnet_hdf5.py."""
    f, b = {"a": filters(3, 2, 3, 4), "b": filters(1, 1, 3, 2)}, {"a": single(4, 1), "b": single(2, 1)}
    layers = [
        {"name": name, "type": "dagnn.Conv", "inputs": cell("data"), "outputs": cell(f"{name}x"), "params": cell(f"{name}f", f"{name}b"),
         "block": {"pad": pad, "stride": 1.0, "hasBias": 1.0}} for name, pad in (("a", [1.0, 1.0, 1.0, 0.0]), ("b", 0.0))
    ] + [
        {"name": "join", "type": "dagnn.Concat", "inputs": cell("ax", "bx"), "outputs": "joined", "params": cell(), "block": {"dim": 3.0}},
        # Vectors as conversions from PyTorch make them, width first, and as MATLAB does, height first.
        {"name": "swap", "type": "dagnn.Permute", "inputs": cell("joined"), "outputs": cell("swapped"), "params": cell(),
         "block": {"order": [2.0, 1.0, 3.0, 4.0]}},
        {"name": "rows", "type": "dagnn.Flatten", "inputs": cell("swapped"), "outputs": cell("rowsx"), "params": cell(), "block": {"axis": 3.0}},
        {"name": "columns", "type": "dagnn.Flatten", "inputs": cell("joined"), "outputs": cell("columnsx"), "params": cell(),
         "block": {"firstAxis": 1.0, "axis": 3.0}},
        {"name": "sum", "type": "dagnn.Sum", "inputs": cell("rowsx", "columnsx"), "outputs": cell("summed"), "params": cell(), "block": {}},
        {"name": "fc", "type": "dagnn.Conv", "inputs": cell("summed"), "outputs": cell("scores"), "params": cell("fcf"),
         "block": {"hasBias": 0.0}},
        {"name": "loss", "type": "dagnn.Loss", "inputs": cell("scores", "label"), "outputs": cell("loss"), "params": cell(),
         "block": {"loss": "softmaxlog"}},
    ]
    fc = filters(1, 1, 120, 3)
    params = [{"name": "fcf", "value": fc}] + [{"name": f"{name}{kind}", "value": values[name]} for name in "ab" for kind, values in (("f", f), ("b", b))]
    x = picture(1, 3, 4, 5)
    v = {"a": conv(x, f["a"], b["a"], [1, 1, 1, 0]), "b": conv(x, f["b"], b["b"])}
    v["join"] = torch.cat([v["a"], v["b"]], 1)
    v["sum"] = v["join"].flatten(1) + v["join"].transpose(2, 3).flatten(1)
    v["softmax"] = F.softmax(conv(v["sum"][:, :, None, None], fc, []), 1)
    net = {"layers": struct_array(layers), "params": struct_array(params), "meta": {"normalization": {"imageSize": [4.0, 5.0, 3.0]}}}
    save_net(folder / "branches.mat", {"net": net, "state": {"epoch": 3.0}}, True)
    save_reference(folder / "branches.safetensors", x, v, ["a", "join", "sum", "softmax"])


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (old_simple, checkpoint, distance, dag, branches, published):
        make(OUT)
