#!/usr/bin/env python3
"""Small ONNX nets and what their frameworks compute, for tests/it/imports/onnx.rs.

Made with Python 3.11, torch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, safetensors 0.8.0; the Keras net
with tensorflow 2.21.0, keras 3.15.1, tf2onnx 1.17.0, in another environment:

    python3 tests/refs/onnx_nets.py
    python3 tests/refs/onnx_nets.py keras

Writes NAME.onnx and NAME.safetensors to tests/data/nets/onnx: `input`, for some nodes `blob:NODE`, and for the output
`gradient:NODE` of half its squared norm with respect to the input where torch or TensorFlow computes it (in float64).
Weights are random.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "data" / "nets" / "onnx"
RNG = np.random.default_rng(20260)


def noise(*shape, scale=1.0):
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


def last_node(model):
    """The name that the importer gives the node of the output."""
    output = model.graph.output[0].name
    node = next(node for node in model.graph.node if output in node.output)
    return node.name or node.output[0]


def save_reference(name, x, blobs, gradient=None):
    tensors = {"input": np.ascontiguousarray(x)}
    for node, blob in blobs.items():
        tensors[f"blob:{node}"] = np.ascontiguousarray(blob)
    if gradient is not None:
        tensors[f"gradient:{list(blobs)[-1]}"] = np.ascontiguousarray(gradient)
    save_file(tensors, OUT / f"{name}.safetensors")


def by_torch(name, function, x):
    """Output and gradient of a function of a float64 tensor, for the last node of a saved net."""
    import torch
    model = onnx.load(OUT / f"{name}.onnx", load_external_data=False)
    value = torch.from_numpy(x).double().requires_grad_()
    output = function(value)
    (0.5 * (output ** 2).sum()).backward()
    save_reference(name, x, {last_node(model): output.detach().numpy()}, value.grad.numpy())


def by_onnxruntime(name, x, skipped=()):
    """Blobs of the nodes that give not many floats of two or four axes, and are more than another look at a blob."""
    import onnxruntime
    model = onnx.load(OUT / f"{name}.onnx")
    views = ("Transpose", "Unsqueeze", "Squeeze", "If")
    names = {node.output[0]: node.name or node.output[0] for node in model.graph.node
             if len(node.output) == 1 and node.op_type not in views and node.name not in skipped}
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    values = session.run(list(names), {session.get_inputs()[0].name: x})
    blobs = {node: value for node, value in zip(names.values(), values)
             if value.dtype == np.float32 and value.ndim in (2, 4) and value.shape[0] == 1 and value.size < 1000}
    save_reference(name, x, blobs)


class Helper:
    """A graph node by node; the name of an output is that of its node."""

    def __init__(self, opset, shape, weights_are_inputs=False):
        self.opset, self.shape, self.weights_are_inputs = opset, shape, weights_are_inputs
        self.nodes, self.arrays = [], []

    def array(self, value):
        value = np.asarray(value)
        self.arrays.append(numpy_helper.from_array(value, f"w{len(self.arrays)}"))
        return self.arrays[-1].name

    def __call__(self, name, op, *inputs, **attributes):
        inputs = [i if isinstance(i, str) else self.array(i) for i in inputs]
        outputs = attributes.pop("outputs", [name])
        node = helper.make_node(op, inputs, outputs, name=name, **attributes)
        self.nodes.append(node)
        return outputs[0] if len(outputs) == 1 else outputs

    def save(self, name, output):
        inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, self.shape)]
        if self.weights_are_inputs:
            inputs += [helper.make_tensor_value_info(a.name, a.data_type, list(a.dims)) for a in self.arrays]
        outputs = [helper.make_empty_tensor_value_info(output)]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 3 if self.opset < 9 else 10
        onnx.save(model, OUT / f"{name}.onnx")


def torch_nets():
    import torch
    from torch import nn
    import torch.nn.functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(8)
            self.deep = nn.Conv2d(8, 8, 5, padding=(2, 1), groups=8)
            self.squeeze, self.excite = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 1)
            self.branches = nn.ModuleList([nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=2, dilation=2)])
            self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
            self.average = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True)
            self.drop = nn.Dropout(0.2)
            self.head = nn.Linear(8, 6)

        def forward(self, x):
            x = F.hardswish(self.bn(self.conv(x)))
            x = F.silu(self.deep(x))
            gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
            x = x * gate
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            x = torch.cat([branch(x) for branch in self.branches], 1)
            left, right = x.chunk(2, 1)
            x = torch.cat([F.relu6(left), F.leaky_relu(right, 0.1)], 1) + x
            x = F.elu(self.average(self.pool(x)))
            return F.softmax(self.head(self.drop(x.mean([2, 3]))), 1)

    torch.manual_seed(1)
    net = Net().eval()
    net.bn.running_mean.uniform_(-0.5, 0.5)
    net.bn.running_var.uniform_(0.5, 1.5)
    x = noise(1, 3, 27, 22)
    value = torch.from_numpy(x)
    names = {"input_names": ["picture"], "output_names": ["probabilities"]}
    torch.onnx.export(net, (value,), OUT / "torch_old.onnx", dynamo=False, opset_version=13,
                      dynamic_axes={"picture": {0: "n", 2: "h", 3: "w"}}, **names)
    torch.onnx.export(net, (value,), OUT / "torch_new.onnx", dynamo=True, external_data=False, **names)
    model = onnx.load(OUT / "torch_new.onnx")
    for node in model.graph.node:  # traces of the source files
        del node.metadata_props[:]
    del model.graph.value_info[:]
    helper.set_model_props(model, {"names": str({i: f"class {i}" for i in range(6)})})
    onnx.save(model, OUT / "torch_new.onnx")
    (OUT / "external.bin").unlink(missing_ok=True)
    onnx.save(onnx.load(OUT / "torch_new.onnx"), OUT / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=64)
    import copy
    double = copy.deepcopy(net).double()
    for name in ("torch_old", "torch_new"):
        by_torch(name, double, x)


def half():
    """Weights in half precision, with casts around the net."""
    import torch
    import torch.nn.functional as F
    x = noise(1, 3, 9, 8)
    g = Helper(13, [1, 3, 9, 8])
    w, b, matrix = noise(6, 3, 3, 3).astype(np.float16), noise(6).astype(np.float16), noise(5, 6).astype(np.float16)
    y = g("to_half", "Cast", "picture", to=TensorProto.FLOAT16)
    y = g("conv", "Conv", y, w, b)
    y = g("relu", "Relu", y)
    y = g("mean", "ReduceMean", y, axes=[-1, -2], keepdims=0)
    y = g("fc", "Gemm", y, matrix, transB=1, alpha=0.5)
    g.save("half", g("to_single", "Cast", y, to=TensorProto.FLOAT))
    model = onnx.load(OUT / "half.onnx")
    value = torch.from_numpy(x).double().requires_grad_()
    t = lambda a: torch.from_numpy(a).double()
    output = 0.5 * F.relu(F.conv2d(value, t(w), t(b))).mean([2, 3]) @ t(matrix).T
    (0.5 * (output ** 2).sum()).backward()
    save_reference("half", x, {model.graph.node[-2].name: output.detach().numpy()}, value.grad.numpy())


def opset1():
    import torch
    import torch.nn.functional as F
    x = noise(1, 3, 13, 10)
    g = Helper(1, [1, 3, 13, 10], weights_are_inputs=True)
    w, b, offset, scale, shift = noise(6, 3, 3, 2, scale=0.3), noise(6), noise(6), noise(6), noise(6)
    mean, variance, matrix, row = noise(6), np.abs(noise(6)) + 0.5, noise(6 * 3 * 2, 5, scale=0.3), noise(5)
    y = g("conv", "Conv", "picture", w, b, kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    y = g("add", "Add", y, offset, broadcast=1, axis=1)
    y = g("norm", "LRN", y, size=3, alpha=0.5, beta=0.75, bias=1.5)
    y = g("bn", "BatchNormalization", y, scale, shift, mean, variance, is_test=1, epsilon=1e-3, consumed_inputs=[0, 0, 0, 1, 1])
    y = g("relu", "Relu", y, consumed_inputs=[0])
    y = g("pool", "MaxPool", y, kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1])
    y = g("drop", "Dropout", y, is_test=1, ratio=0.3, outputs=["drop", "mask"])[0]
    y = g("flat", "Reshape", y, shape=[0, -1])
    y = g("fc", "Gemm", y, matrix, row, alpha=0.5, beta=2.0, broadcast=1)
    g.save("opset1", g("prob", "Softmax", y))
    t = lambda a: torch.from_numpy(a).double()

    def net(v):
        v = F.conv2d(F.pad(v, (0, 0, 1, 1)), t(w), t(b), stride=2)
        v = F.local_response_norm(v + t(offset).view(1, -1, 1, 1), 3, 0.5, 0.75, 1.5)
        v = F.relu(F.batch_norm(v, t(mean), t(variance), t(scale), t(shift), eps=1e-3))
        v = F.max_pool2d(v, 3, 3, 1).flatten(1)
        return F.softmax(0.5 * (v @ t(matrix)) + 2 * t(row), 1)
    by_torch("opset1", net, x)


def opset6():
    import torch
    import torch.nn.functional as F
    x = noise(1, 3, 9, 12)
    g = Helper(6, [1, 3, 9, 12])
    w, slope, factor, matrix = noise(8, 3, 3, 3, scale=0.3), noise(8), noise(8, 1, 1), noise(4, 5)
    mean = noise(3, 9, 12)
    y = g("centre", "Sub", "picture", mean[None])
    y = g("conv", "Conv", y, w, pads=[1, 0, 0, 2], auto_pad="NOTSET")
    y = g("prelu", "PRelu", y, slope)
    y = g("mul", "Mul", y, factor, broadcast=1, axis=1)
    a, b = g("split", "Split", y, axis=1, split=[3, 5], outputs=["a", "b"])
    a, b = g("leaky", "LeakyRelu", a, alpha=0.2), g("clip", "Clip", b, min=-0.5, max=0.75)
    y = g("join", "Concat", a, b, axis=1)
    y = g("sum", "Sum", y, "mul", "prelu")
    y = g("average", "AveragePool", y, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    y = g("pad", "Pad", y, pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="reflect")
    y = g("half", "Slice", y, axes=[1, 3], starts=[4, 1], ends=[8, -1])
    y = g("global", "GlobalAveragePool", y)
    y = g("flat", "Reshape", y, np.array([1, 4]))
    y = g("product", "MatMul", y, matrix)
    g.save("opset6", g("log", "LogSoftmax", y))
    t = lambda a: torch.from_numpy(a).double()

    def net(v):
        v = F.conv2d(F.pad(v - t(mean), (0, 2, 1, 0)), t(w))
        p = F.prelu(v, t(slope))
        m = p * t(factor)
        v = torch.cat([F.leaky_relu(m[:, :3], 0.2), m[:, 3:].clamp(-0.5, 0.75)], 1) + m + p
        ones = torch.ones_like(v)
        pool = lambda z: F.avg_pool2d(F.pad(z, (0, 1, 1, 1)), (3, 2), 2)
        v = pool(v) / pool(ones)
        v = F.pad(v, (2, 1, 1, 0), mode="reflect")[:, 4:8, :, 1:-1]
        return F.log_softmax(v.mean([2, 3]) @ t(matrix), 1)
    by_torch("opset6", net, x)


def opset8():
    x = noise(1, 3, 10, 14)
    g = Helper(8, ["n", 3, 10, 14])
    y = g("scale", "Div", "picture", np.float32(0.5))
    y = g("conv", "Conv", y, noise(6, 3, 3, 3, scale=0.3), noise(6), auto_pad="SAME_LOWER", strides=[2, 2])
    y = g("instance", "InstanceNormalization", y, noise(6), noise(6))
    y = g("up", "Upsample", y, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])
    y = g("wide", "ConvTranspose", y, noise(6, 2, 3, 2, scale=0.3), noise(4), group=2, strides=[2, 1], pads=[1, 0, 0, 1],
          output_padding=[1, 0])
    s = g("squeeze", "ReduceMean", y, axes=[2, 3], keepdims=0)
    s = g("excite", "Gemm", s, noise(4, 4), noise(4), transB=1)
    s = g("gate", "Sigmoid", s)
    s = g("gate4", "Unsqueeze", s, axes=[2, 3])
    z = g("gated", "Mul", s, y)
    m = g("most", "Max", z, y)
    m = g("least", "Min", m, z, np.float32(0.8))
    one = g("one", "Conv", m, noise(1, 4, 1, 1))
    m = g("attended", "Mul", m, g("map", "Sigmoid", one))
    m = g("odd", "LRN", m, size=5, alpha=0.1)
    m = g("edge", "Pad", m, pads=[0, 1, 0, 1, 0, 2, 1, 0], mode="constant", value=0.25)
    m = g("square", "Pow", m, np.float32(2))
    m = g("peak", "GlobalMaxPool", m)
    m = g("score", "Conv", m, noise(5, 7, 1, 1))
    m = g("soft", "Softmax", m)
    g.save("opset8", g("flat", "Flatten", m))
    by_onnxruntime("opset8", x)


def opset18():
    x = noise(1, 3, 13, 16)
    g = Helper(18, [1, 3, "h", "w"])
    conv = g("conv", "Conv", "picture", noise(8, 3, 3, 3, scale=0.3), noise(8), pads=[1, 1, 1, 1])
    y = g("flip", "Gather", conv, np.array([7, 6, 5, 4, 3, 2, 1, 0]), axis=1)
    y = g("ceil", "AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1)
    y = g("without", "AveragePool", y, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    y = g("linear", "Resize", y, "", "", np.array([1, 8, 9, 7]), mode="linear")
    y = g("corners", "Resize", y, "", np.array([1, 1, 1.5, 2], np.float32), mode="linear",
          coordinate_transformation_mode="align_corners")
    y = g("blocks", "Resize", y, "", np.array([1, 1, 2, 1], np.float32), mode="nearest")
    y = g("dilated", "MaxPool", y, kernel_shape=[3, 2], dilations=[2, 3], strides=[2, 1], pads=[1, 0, 0, 1], ceil_mode=1)
    y = g("mirror", "Pad", y, np.array([1, 2, 0, 1]), "", np.array([2, 3]), mode="reflect")
    y = g("every", "Slice", y, np.array([1, -1]), np.array([1000, -9]), np.array([2, 1]), np.array([2, -2]))
    y = g("group", "GroupNormalization", y, noise(2), noise(2), num_groups=2)
    y = g("last", "Transpose", y, perm=[0, 2, 3, 1])
    y = g("layer", "LayerNormalization", y, noise(4), noise(4), axis=-1)
    y = g("dense", "MatMul", y, noise(4, 6, scale=0.5))
    y = g("dense_bias", "Add", y, noise(6))
    y = g("hard", "HardSigmoid", y, alpha=0.3, beta=0.4)
    y = g("first", "Transpose", y, perm=[0, 3, 1, 2])
    y = g("depth", "SpaceToDepth", g("even", "Slice", y, np.array([0, 0]), np.array([4, 4]), np.array([2, 3])), blocksize=2)
    y = g("space", "DepthToSpace", y, blocksize=2, mode="CRD")
    shape = g("shape", "Shape", conv)
    condition = g("condition", "Equal", g("channels", "Gather", shape, np.array(1), axis=0), np.array(8))
    yes = helper.make_graph([helper.make_node("Selu", [y], ["yes"], name="selu")], "yes", [],
                            [helper.make_empty_tensor_value_info("yes")])
    no = helper.make_graph([helper.make_node("Erf", [y], ["no"], name="erf")], "no", [],
                           [helper.make_empty_tensor_value_info("no")])
    y = g("branch", "If", condition, then_branch=yes, else_branch=no)
    y = g("open", "Clip", y, "", np.float32(1.5))
    y = g("mean", "ReduceMean", y, np.array([2, 3]), keepdims=0)
    g.save("opset18", g("prob", "Softmax", y))
    by_onnxruntime("opset18", x, skipped=("layer", "dense", "dense_bias", "hard"))  # NHWC


def quantized():
    """One net in the three ways in which onnxruntime quantizes."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    g = Helper(17, [1, 3, 12, 12])
    y = g("conv1", "Conv", "picture", noise(8, 3, 3, 3, scale=0.3), noise(8, scale=0.3), pads=[1, 1, 1, 1])
    y = g("relu1", "Relu", y)
    y = g("pool1", "MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    z = g("conv2", "Conv", y, noise(8, 8, 3, 3, scale=0.2), noise(8, scale=0.3), pads=[1, 1, 1, 1])
    y = g("add", "Add", y, z)
    y = g("global", "GlobalAveragePool", y)
    y = g("flat", "Flatten", y)
    g.save("plain", g("fc", "Gemm", y, noise(5, 8), noise(5), transB=1))
    x = noise(1, 3, 12, 12)

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = [x] + [noise(1, 3, 12, 12) for _ in range(7)]

        def get_next(self):
            return {"picture": self.rest.pop()} if self.rest else None

    plain, ready = OUT / "plain.onnx", OUT / "ready.onnx"
    quant_pre_process(plain, ready)
    common = {"per_channel": True, "weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8}
    quantize_static(ready, OUT / "qdq.onnx", Reader(), quant_format=QuantFormat.QDQ, **common)
    quantize_static(ready, OUT / "qoperator.onnx", Reader(), quant_format=QuantFormat.QOperator, **common)
    quantize_dynamic(plain, OUT / "dynamic.onnx", weight_type=QuantType.QUInt8)
    import onnxruntime
    for name in ("qdq", "qoperator", "dynamic"):
        session = onnxruntime.InferenceSession(OUT / f"{name}.onnx")
        model = onnx.load(OUT / f"{name}.onnx")
        save_reference(name, x, {last_node(model): session.run(None, {"picture": x})[0]})
    plain.unlink()
    ready.unlink()


def keras_net():
    import keras
    import tensorflow as tf
    import tf2onnx
    keras.utils.set_random_seed(3)

    def build():
        inputs = keras.Input((17, 14, 3), name="picture")
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
        x = keras.layers.BatchNormalization(epsilon=1e-3)(x)
        x = keras.layers.ReLU(6.0)(x)
        y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = keras.layers.Conv2D(8, 1, activation="sigmoid")(gate)
        y = keras.layers.Multiply()([y, gate])
        x = keras.layers.Concatenate()([keras.layers.Activation("swish")(x), y])
        x = keras.layers.ZeroPadding2D(((0, 1), (1, 1)))(x)
        x = keras.layers.AveragePooling2D(3, 2, padding="same")(x)
        x = keras.layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
        x = keras.layers.UpSampling2D(2)(x)
        x = keras.layers.MaxPooling2D(3, 3)(x)
        x = keras.layers.Flatten()(x)
        return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))

    net = build()
    for weight in net.weights:
        weight.assign(RNG.uniform(0.5, 1.5, weight.shape) if "variance" in weight.path or "gamma" in weight.path
                      else 0.3 * RNG.standard_normal(weight.shape))
    function = tf.function(lambda picture: net(picture, training=False))
    signature = [tf.TensorSpec([None, 17, 14, 3], tf.float32, name="picture")]
    tf2onnx.convert.from_function(function, signature, opset=13, output_path=str(OUT / "keras.onnx"))
    keras.backend.set_floatx("float64")
    double = build()
    double.set_weights(net.get_weights())
    x = noise(1, 3, 17, 14).astype(np.float64)
    value = tf.constant(x.transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(value)
        y = double(value, training=False)
        loss = 0.5 * tf.reduce_sum(y ** 2)
    gradient = tape.gradient(loss, value).numpy().transpose(0, 3, 1, 2)
    save_reference("keras", x, {last_node(onnx.load(OUT / "keras.onnx")): y.numpy()}, gradient)


def gelu_nets():
    """A ConvNeXt of one block (Liu 2022): layer norms, fully connected layers along channels, GELU as one node and by Erf."""
    import copy
    import torch
    from torch import nn
    from torchvision.models.convnext import CNBlock, LayerNorm2d

    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), LayerNorm2d(6), CNBlock(6, 0.5, 0.0), nn.AdaptiveAvgPool2d(1),
                        LayerNorm2d(6), nn.Flatten(1), nn.Linear(6, 4)).eval()
    x = np.random.default_rng(7).standard_normal((1, 3, 24, 20)).astype(np.float32)
    value = torch.from_numpy(x)
    names = {"input_names": ["picture"], "output_names": ["scores"]}
    torch.onnx.export(net, (value,), OUT / "gelu_by_erf.onnx", dynamo=False, opset_version=17, **names)
    torch.onnx.export(net, (value,), OUT / "gelu.onnx", dynamo=True, external_data=False, opset_version=20, **names)
    model = onnx.load(OUT / "gelu.onnx")
    for node in model.graph.node:  # traces of the source files
        del node.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, OUT / "gelu.onnx")
    double = copy.deepcopy(net).double()
    for name in ("gelu_by_erf", "gelu"):
        by_torch(name, double, x)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["keras"]:
        keras_net()
    else:
        for part in (torch_nets, half, opset1, opset6, opset8, opset18, quantized, gelu_nets):
            part()
