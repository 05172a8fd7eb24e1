"""Small frozen TensorFlow graphs of random weights, and what TensorFlow computes with them.

Usage: tensorflow_nets.py DIRECTORY  (made with TensorFlow 2.21.0, Python 3.12)

Each net is NAME.pb; NAME.safetensors holds `input`, and `blob:NODE` and `gradient:NODE` for some nodes, all in NCHW. A
gradient is that of half the sum of squares of the blob with respect to the input.
"""

import json
import os
import struct
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
v1.disable_eager_execution()


def save_safetensors(path, tensors):
    header, offset, blobs = {}, 0, []
    for name, array in tensors.items():
        data = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        blobs.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def nchw(array):
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def write(directory, name, definition):
    with open(os.path.join(directory, name + ".pb"), "wb") as file:
        file.write(definition.SerializeToString(deterministic=True))


def save(directory, name, graph, feed, values, targets, layout=nchw, others=None):
    """`feed` is the tensor that is the net's input, `targets` maps names of the net's nodes to tensors."""
    write(directory, name, graph.as_graph_def())
    reference = {"input": layout(values)}
    with graph.as_default(), v1.Session(graph=graph) as session:
        fed = {graph.get_tensor_by_name(feed): values, **(others or {})}
        for node, tensor in targets.items():
            blob = graph.get_tensor_by_name(tensor)
            reference["blob:" + node] = nchw(session.run(blob, fed))
            # Gradients of the last nodes pass all others.
            if node in list(targets)[-2:]:
                gradient = v1.gradients(v1.reduce_sum(blob * blob) / 2, graph.get_tensor_by_name(feed))[0]
                reference["gradient:" + node] = layout(session.run(gradient, fed))
    save_safetensors(os.path.join(directory, name + ".safetensors"), reference)


def drawn(seed):
    rng = np.random.default_rng(seed)

    def weights(*shape, scale=None):
        fan_in = int(np.prod(shape[:-1])) or 1
        return tf.constant((rng.standard_normal(shape) * (scale or (2 / fan_in) ** 0.5)).astype(np.float32))

    def positive(*shape):
        return tf.constant(rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def pictures(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return weights, positive, pictures


def inception(directory):
    """Of the kind of the Inception of 2014: LRN, a mixed layer, SAME pools, two heads, constants behind Identity."""
    weights, _, pictures = drawn(1)
    graph = tf.Graph()

    def conv(x, name, size, outputs, stride=1):
        kernel = weights(size, size, x.shape[3], outputs)
        kernel = tf.identity(kernel, name + "_w/read")
        bias = weights(outputs, scale=0.2)
        x = tf.nn.conv2d(x, kernel, stride, "SAME", name=name + "_pre_relu/conv")
        return tf.nn.relu(tf.nn.bias_add(x, bias, name=name + "_pre_relu"), name=name)

    def dense(x, name, outputs):
        return tf.nn.bias_add(tf.matmul(x, weights(x.shape[1], outputs), name=name + "/matmul"), weights(outputs), name=name)

    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 30, 34, 3], "input")
        x = conv(x, "conv2d0", 7, 8, 2)
        x = tf.nn.max_pool2d(x, 3, 2, "SAME", name="maxpool0")
        x = tf.nn.local_response_normalization(x, 2, 1.0, 0.05, 0.75, name="localresponsenorm0")
        pool = tf.nn.max_pool2d(x, 3, 1, "SAME", name="mixed3a_pool")
        branches = [
            conv(x, "mixed3a_1x1", 1, 3),
            conv(conv(x, "mixed3a_3x3_bottleneck", 1, 4), "mixed3a_3x3", 3, 5),
            conv(conv(x, "mixed3a_5x5_bottleneck", 1, 2), "mixed3a_5x5", 5, 3),
            conv(pool, "mixed3a_pool_reduce", 1, 2),
        ]
        x = tf.raw_ops.Concat(concat_dim=3, values=branches, name="mixed3a")
        head = tf.nn.avg_pool2d(x, 5, 3, "SAME", name="head0_pool")
        head = conv(head, "head0_bottleneck", 1, 4)
        head = tf.reshape(head, [-1, 3 * 3 * 4], name="head0_bottleneck/reshape")
        head = tf.nn.relu(dense(head, "nn0_pre_relu", 6), name="nn0")
        tf.identity(tf.nn.softmax(dense(head, "softmax0_pre_activation", 5), name="softmax0"), name="output")
        for name in ["mixed3b", "mixed3c", "mixed3d"]:
            x = conv(x, name, 3, 8)
        x = tf.nn.avg_pool2d(x, [x.shape[1], x.shape[2]], 1, "VALID", name="avgpool0")
        x = tf.reshape(x, [-1, 8], name="avgpool0/reshape")
        x = tf.nn.softmax(dense(x, "softmax2_pre_activation", 5), name="softmax2")
        tf.identity(x, name="output2")
    targets = ["conv2d0_pre_relu", "localresponsenorm0", "mixed3a", "softmax2_pre_activation", "softmax2"]
    save(directory, "inception", graph, "input:0", pictures(1, 30, 34, 3), {name: name + ":0" for name in targets})


def mobilenet(directory):
    """Depthwise layers of a multiplier above 1, FusedBatchNorm of three versions, Relu6, a head as tf-slim's."""
    weights, positive, pictures = drawn(2)
    graph = tf.Graph()

    def norm(x, name, version):
        c = x.shape[3]
        op = {1: tf.raw_ops.FusedBatchNorm, 2: tf.raw_ops.FusedBatchNormV2, 3: tf.raw_ops.FusedBatchNormV3}[version]
        out = op(x=x, scale=positive(c), offset=weights(c), mean=weights(c), variance=positive(c), epsilon=0.01,
                 is_training=False, name=name + "/BatchNorm/FusedBatchNorm")
        return tf.nn.relu6(out.y, name=name + "/Relu6")

    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 20, 20, 3], "input")
        x = norm(tf.nn.conv2d(x, weights(3, 3, 3, 6), 2, "SAME", name="MobilenetV1/Conv2d_0/Conv2D"), "MobilenetV1/Conv2d_0", 1)
        x = tf.nn.depthwise_conv2d(x, weights(3, 3, 6, 2, scale=0.5), [1, 1, 1, 1], "SAME", name="MobilenetV1/Conv2d_1_depthwise/depthwise")
        x = norm(x, "MobilenetV1/Conv2d_1_depthwise", 2)
        x = tf.nn.depthwise_conv2d(x, weights(3, 3, 12, 1, scale=0.5), [1, 2, 2, 1], "SAME", name="MobilenetV1/Conv2d_2_depthwise/depthwise")
        x = norm(x, "MobilenetV1/Conv2d_2_depthwise", 3)
        x = norm(tf.nn.conv2d(x, weights(1, 1, 12, 8), 1, "SAME", name="MobilenetV1/Conv2d_2_pointwise/Conv2D"), "MobilenetV1/Conv2d_2_pointwise", 3)
        x = tf.nn.avg_pool2d(x, 5, 2, "VALID", name="MobilenetV1/Logits/AvgPool_1a/AvgPool")
        x = tf.nn.bias_add(tf.nn.conv2d(x, weights(1, 1, 8, 7), 1, "SAME", name="MobilenetV1/Logits/Conv2d_1c_1x1/Conv2D"), weights(7), name="MobilenetV1/Logits/Conv2d_1c_1x1/BiasAdd")
        x = tf.squeeze(x, [1, 2], name="MobilenetV1/Logits/SpatialSqueeze")
        flat = tf.reshape(x, [-1, 7], name="MobilenetV1/Predictions/Reshape")
        flat = tf.nn.softmax(flat, name="MobilenetV1/Predictions/Softmax")
        tf.reshape(flat, tf.shape(x), name="MobilenetV1/Predictions/Reshape_1")
    names = ["MobilenetV1/Conv2d_1_depthwise/Relu6", "MobilenetV1/Conv2d_2_pointwise/Relu6",
             "MobilenetV1/Logits/SpatialSqueeze", "MobilenetV1/Predictions/Softmax"]
    save(directory, "mobilenet", graph, "input:0", pictures(1, 20, 20, 3), {name: name + ":0" for name in names})


def old_norm(directory):
    """Of the kind of the Inception v3 of 2015: decodes a JPEG, normalizes by the op of that time, pools SAME."""
    weights, positive, pictures = drawn(3)
    graph = tf.Graph()

    def conv(x, name, size, outputs, stride, padding, scale):
        x = tf.nn.conv2d(x, weights(size, size, x.shape[3], outputs), stride, padding, name=name + "/Conv2D")
        gamma = positive(outputs) if scale else tf.ones([outputs])
        x = tf.raw_ops.FusedBatchNorm(
            x=x, scale=gamma, offset=weights(outputs), mean=weights(outputs), variance=positive(outputs),
            epsilon=0.001, is_training=False, name=name + "/batchnorm").y
        x = tf.raw_ops.CheckNumerics(tensor=x, message="", name=name + "/CheckNumerics")
        return tf.nn.relu(tf.identity(x, name + "/control_dependency"), name=name)

    with graph.as_default():
        # The node that decodes is fed by the bytes of a picture file.
        x = tf.constant(b"", name="DecodeJpeg/contents")
        x = tf.cast(tf.image.decode_jpeg(x, 3, name="DecodeJpeg"), tf.float32, name="Cast")
        x = tf.expand_dims(x, 0, name="ExpandDims")
        x = tf.raw_ops.ResizeBilinear(images=x, size=[23, 23], name="ResizeBilinear")
        x = tf.multiply(tf.subtract(x, 128.0, name="Sub"), 0.0078125, name="Mul")
        x = conv(x, "conv", 3, 8, 2, "VALID", False)
        x = tf.nn.max_pool2d(x, 3, 2, "VALID", name="pool")
        a = conv(x, "mixed/conv", 1, 4, 1, "SAME", True)
        b = conv(tf.nn.avg_pool2d(x, 3, 1, "SAME", name="mixed/pool"), "mixed/tower/conv", 3, 4, 1, "SAME", False)
        x = tf.raw_ops.Concat(concat_dim=3, values=[a, b], name="mixed/join")
        x = tf.nn.avg_pool2d(x, 5, 1, "VALID", name="pool_3")
        x = tf.reshape(x, [1, 8], name="pool_3/_reshape")
        x = tf.matmul(x, weights(8, 6), name="softmax/logits/MatMul")
        x = tf.nn.softmax(tf.add(x, weights(6), name="softmax/logits"), name="softmax")
    names = ["conv", "mixed/join", "softmax/logits", "softmax"]
    # No TensorFlow of today computes the op, so that its equal of today stands for it until here.
    definition = graph.as_graph_def()
    save(directory, "old_norm", graph, "Mul:0", pictures(1, 23, 23, 3), {name: name + ":0" for name in names})
    values = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in definition.node if node.op == "Const"}
    for node in definition.node:
        if node.op == "FusedBatchNorm":
            x, gamma, beta, mean, variance = node.input
            node.op = "BatchNormWithGlobalNormalization"
            node.input[:] = [x, mean, variance, beta, gamma]
            scaled = not (values[gamma] == 1).all()
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = scaled
            if not scaled:
                # It is there, but does not count.
                node.input[4] = mean
    write(directory, "old_norm", definition)


def unfused(directory):
    """Batch normalization in single steps on constants, dropout with a placeholder, a dense layer on maps."""
    weights, positive, pictures = drawn(4)
    graph = tf.Graph()

    def norm(x, name):
        c = x.shape[3]
        with tf.name_scope(name):
            scale = tf.multiply(tf.math.rsqrt(tf.add(positive(c), 0.001, name="add"), name="Rsqrt"), positive(c), name="mul")
            shift = tf.subtract(weights(c), tf.multiply(weights(c), scale, name="mul_2"), name="sub")
            return tf.add(tf.multiply(x, scale, name="mul_1"), shift, name="add_1")

    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 12, 12, 1], "input")
        keep = v1.placeholder(tf.float32, [], name="keep_prob")
        x = tf.nn.relu(norm(tf.nn.conv2d(x, weights(3, 3, 1, 4), 1, "SAME", name="conv1/Conv2D"), "conv1/batchnorm"), name="conv1/Relu")
        x = tf.nn.max_pool2d(x, 2, 2, "SAME", name="pool1")
        x = tf.nn.conv2d(x, weights(3, 3, 4, 5), 1, "VALID", name="conv2/Conv2D") + weights(5)
        x = tf.tanh(x, name="conv2/Tanh")
        x = tf.reshape(x, [tf.shape(x)[0], -1], name="flat")
        x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, weights(4 * 4 * 5, 9), name="fc1/MatMul"), weights(9), name="fc1/BiasAdd"), name="fc1/Relu")
        mask = tf.floor(keep + tf.random.uniform(tf.shape(x)), name="dropout/Floor")
        x = tf.multiply(tf.divide(x, keep, name="dropout/div"), mask, name="dropout/mul")
        x = tf.matmul(x, weights(6, 9), transpose_b=True, name="fc2/MatMul")
        tf.nn.softmax(tf.nn.bias_add(x, weights(6), name="fc2/BiasAdd"), name="final_result")
    names = ["conv1/Relu", "conv2/Tanh", "fc1/Relu", "fc2/BiasAdd", "final_result"]
    save(directory, "unfused", graph, "input:0", pictures(1, 12, 12, 1), {name: name + ":0" for name in names},
         others={graph.get_tensor_by_name("keep_prob:0"): 1.0})


def mlp(directory):
    """Vectors of 64 values, one picture of 8×8 each, of which a part takes a convolution."""
    weights, _, pictures = drawn(5)
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 64], "x")
        x = tf.nn.relu(tf.add(tf.matmul(x, weights(64, 12), name="fc1/MatMul"), weights(12), name="fc1"), name="fc1/Relu")
        x = tf.sigmoid(tf.add(tf.matmul(x, weights(12, 10), name="fc2/MatMul"), weights(10), name="fc2"), name="fc2/Sigmoid")
        tf.add(tf.matmul(x, weights(10, 4), name="y/MatMul"), weights(4), name="y")
    picture = lambda array: array.reshape(1, 1, 8, 8)
    save(directory, "mlp", graph, "x:0", pictures(1, 64), {n: n + ":0" for n in ["fc1/Relu", "y"]}, picture)


def vector_conv(directory):
    """Vectors that are reshaped to pictures before the first convolution, as in the tutorial of 2015."""
    weights, _, pictures = drawn(6)
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 7 * 9 * 3], "x")
        x = tf.reshape(x, [-1, 7, 9, 3], name="picture")
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 4), 1, "SAME", name="conv") + weights(4), name="relu")
        x = tf.reshape(x, [-1, 7 * 9 * 4])
        tf.nn.softmax(tf.matmul(x, weights(7 * 9 * 4, 5)), name="y")
    picture = lambda array: nchw(array.reshape(1, 7, 9, 3))
    save(directory, "vector_conv", graph, "x:0", pictures(1, 7 * 9 * 3), {n: n + ":0" for n in ["relu", "y"]}, picture)


def same_graph(plain):
    """TensorFlow has gradients of dilated and of grouped convolutions on GPUs only: if `plain`, their equals stand
    for them."""
    weights, _, _ = drawn(7)
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 15, 22, 3], "input")
        x = tf.nn.conv2d(x, weights(4, 3, 3, 6), [2, 3], "SAME", name="a")
        x = tf.nn.max_pool2d(tf.nn.elu(x, name="elu"), [2, 3], [1, 1], "SAME", name="b")
        kernel = np.random.default_rng(70).standard_normal((3, 3, 6, 6)).astype(np.float32) * 0.2
        gaps = np.zeros((5, 3, 6, 6), np.float32)
        gaps[::2] = kernel
        if plain:
            x = tf.nn.conv2d(x, tf.constant(gaps), 1, "SAME", name="c")
        else:
            x = tf.nn.conv2d(x, tf.constant(kernel), 1, "SAME", dilations=[2, 1], name="c")
        kernel, padding = weights(3, 2, 3, 4), [[0, 0], [1, 2], [0, 1], [0, 0]]
        if plain:
            halves = zip(tf.split(x, 2, 3), tf.split(kernel, 2, 3))
            x = tf.concat([tf.nn.conv2d(x, kernel, 1, padding) for x, kernel in halves], 3, name="d")
        else:
            x = tf.nn.conv2d(x, kernel, 1, padding, name="d")
        planar = tf.transpose(x, [0, 3, 1, 2], name="to_planar")
        planar = tf.nn.bias_add(planar, weights(4), data_format="NCHW", name="e")
        planar = tf.nn.leaky_relu(planar, 0.3, name="leaky")
        x = tf.transpose(planar, [0, 2, 3, 1], name="from_planar")
        x = tf.nn.avg_pool2d(x, [3, 4], [2, 3], "SAME", name="f")
        x = tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]], name="g", constant_values=0.5)
        x = tf.pad(x, [[0, 0], [1, 1], [2, 1], [0, 0]], "REFLECT", name="h")
        x = tf.pad(x, [[0, 0], [1, 1], [0, 1], [0, 0]], "SYMMETRIC", name="i")
        x = tf.raw_ops.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[2, 2], [3, 3]])
        x = tf.nn.conv2d(x, weights(3, 3, 4, 5), 1, "VALID", name="spaced")
        x = tf.raw_ops.BatchToSpaceND(input=x, block_shape=[2, 3], crops=[[0, 0], [0, 2]], name="k")
        tf.reduce_mean(x, [1, 2], name="j")
    return graph


def same(directory):
    """SAME windows with strides on odd and even sizes, explicit padding, dilation, groups, planar maps."""
    _, _, pictures = drawn(71)
    names = ["a", "b", "c", "d", "f", "g", "h", "i", "k", "j"]
    targets = {name: name + ":0" for name in names}
    save(directory, "same", same_graph(True), "input:0", pictures(1, 15, 22, 3), targets)
    write(directory, "same", same_graph(False).as_graph_def())


def planar_graph(plain):
    """Without a GPU, TensorFlow only computes with channels last: if `plain`, so does this."""
    weights, positive, _ = drawn(9)
    order = "NHWC" if plain else "NCHW"
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 3, 9, 10], "input")
        x = tf.transpose(x, [0, 2, 3, 1]) if plain else x
        x = tf.nn.conv2d(x, weights(3, 2, 3, 4), 2, "SAME", order, name="conv")
        x = tf.raw_ops.FusedBatchNormV3(x=x, scale=positive(4), offset=weights(4), mean=weights(4), variance=positive(4),
                                        is_training=False, data_format=order, name="norm").y
        x = tf.nn.max_pool2d(tf.nn.relu(x), 2, 1, "VALID", order, name="pool")
        x = tf.transpose(x, [0, 3, 1, 2]) if plain else x
        x = tf.reshape(x, [-1, 4 * 4 * 4])
        tf.matmul(x, weights(64, 5), name="scores")
    return graph


def planar(directory):
    """Channels before height and width throughout."""
    _, _, pictures = drawn(91)
    targets = {name: name + ":0" for name in ["conv", "norm", "pool", "scores"]}
    save(directory, "planar", planar_graph(True), "input:0", pictures(1, 3, 9, 10), targets, lambda array: array)
    write(directory, "planar", planar_graph(False).as_graph_def())


def assorted(directory):
    """Everything else, in a net of no sense."""
    weights, positive, pictures = drawn(8)
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 9, 8, 3], "input")
        x = tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME", name="conv")
        up = tf.nn.conv2d_transpose(x, weights(3, 3, 4, 8), [1, 18, 16, 4], 2, "SAME", name="up_even")
        up = tf.nn.conv2d_transpose(up, weights(3, 3, 2, 4), [1, 35, 31, 2], 2, "SAME", name="up_odd")
        up = tf.nn.conv2d_transpose(up, weights(2, 3, 2, 2), [1, 36, 33, 2], 1, "VALID", name="up_valid")
        up = tf.raw_ops.ResizeBilinear(images=up, size=[24, 50], name="corner")
        up = tf.raw_ops.ResizeBilinear(images=up, size=[9, 8], align_corners=True, name="aligned")
        up = tf.raw_ops.ResizeBilinear(images=up, size=[18, 16], half_pixel_centers=True, name="centres")
        up = tf.raw_ops.ResizeNearestNeighbor(images=up, size=[36, 32], half_pixel_centers=True, name="near")
        up = tf.raw_ops.ResizeNearestNeighbor(images=up, size=[9, 8], name="nearest")
        a, b, c = tf.split(x, [2, 2, 4], 3, name="split")
        a = tf.maximum(a, b, name="largest")
        b = tf.minimum(a * 1.5, tf.negative(b, name="negative"), name="smallest")
        c = tf.nn.selu(tf.abs(c, name="size") - 0.3, name="selu")
        x = tf.concat([up, a, b, c[:, :, :, 1:3]], 3, name="joined")
        shuffled = tf.transpose(tf.reshape(x, [-1, 9, 8, 2, 4]), [0, 1, 2, 4, 3])
        x = tf.reshape(shuffled, [-1, 9, 8, 8], name="shuffled")
        x = tf.add(x, weights(9, 8, 8), name="everywhere")
        attention = tf.sigmoid(tf.nn.conv2d(x, weights(1, 1, 8, 1), 1, "SAME"), name="attention")
        x = tf.multiply(x, attention, name="attended")
        squeezed = tf.reduce_mean(x, [1, 2], keepdims=True, name="squeezed")
        x = tf.multiply(tf.sigmoid(squeezed), x, name="excited")
        x = tf.multiply(x, tf.nn.relu6(x + 3.0) * (1 / 6), name="hard_swish")
        x = tf.square(2.0 - x, name="square") / tf.constant([1.0, 2, 4, 8, 1, 2, 4, 8])
        x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [1, 2]], name="more_channels")
        x = tf.reverse(x, [3], name="reversed")
        x = tf.squeeze(tf.reduce_sum(x, [1], keepdims=True), [1], name="rows_gone")
        x = tf.reshape(x, [-1, 8 * 11], name="flat")
        tf.nn.log_softmax(tf.matmul(x, weights(8 * 11, 5)), name="scores")
    names = ["up_odd", "corner", "aligned", "centres", "near", "nearest", "largest", "smallest", "selu", "joined", "shuffled",
             "everywhere", "attended", "excited", "hard_swish", "square", "more_channels", "reversed", "flat", "scores"]
    targets = {name: name + ":0" for name in names if name not in ("shuffled",)}
    save(directory, "assorted", graph, "input:0", pictures(1, 9, 8, 3), targets)


NETS = [inception, mobilenet, old_norm, unfused, mlp, vector_conv, same, planar, assorted]

if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for net in NETS:
        net(sys.argv[1])
