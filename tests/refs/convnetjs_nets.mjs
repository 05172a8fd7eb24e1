// ConvNetJS nets with random weights, and what the library itself computes, for tests/it/imports/convnetjs.rs.
//
// Made with convnetjs 0.3.0 and Node 20. Run in a folder where `npm install convnetjs@0.3.0` was run:
//   node CHECKOUT/tests/refs/convnetjs_nets.mjs
// Writes *.json (net.toJSON()) and *.safetensors to tests/data/nets/convnetjs. Gradients are the library's own backward
// passes in f64, except through its local response normalization, dropout and (after fromJSON) maxout, whose backward
// passes are not the gradients of its forward passes (the first squares the wrong neighbour, the second leaves out the
// factor, the third keeps too few winners), and its softmax, which only goes back from a loss: central differences of
// the forward pass stand there.

import { createRequire } from "node:module";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const convnetjs = createRequire(join(process.cwd(), "index.js"))("convnetjs");
const out = join(dirname(fileURLToPath(import.meta.url)), "../data/nets/convnetjs");
mkdirSync(out, { recursive: true });

// A generator of our own (mulberry32): the library draws from Math.random.
let state = 2014;
Math.random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

// [channels, height, width] values from a volume, whose depth runs fastest.
function planes(volume, values) {
  const { sx, sy, depth } = volume;
  const result = new Float64Array(sx * sy * depth);
  for (let d = 0; d < depth; d++)
    for (let y = 0; y < sy; y++)
      for (let x = 0; x < sx; x++) result[(d * sy + y) * sx + x] = values[(sx * y + x) * depth + d];
  return { shape: [1, depth, sy, sx], data: result };
}

function safetensors(tensors) {
  const header = {};
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F64", shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const parts = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer));
  return Buffer.concat([length, Buffer.from(text), ...parts]);
}

// ½·sum(blob²) of layer `index`.
function energy(net, input, index) {
  let volume = input;
  for (const layer of net.layers.slice(0, index + 1)) volume = layer.forward(volume, false);
  return volume.w.reduce((sum, value) => sum + 0.5 * value * value, 0);
}

function gradient(net, input, index) {
  const layers = net.layers.slice(0, index + 1);
  if (layers.some(({ layer_type }) => ["lrn", "dropout", "maxout", "softmax"].includes(layer_type))) {
    const step = 1e-5;
    return input.w.map((value, i) => {
      const at = (value) => {
        const moved = input.clone();
        moved.w[i] = value;
        return energy(net, moved, index);
      };
      return (at(value + step) - at(value - step)) / (2 * step);
    });
  }
  let volume = input;
  for (const layer of layers) volume = layer.forward(volume, false);
  volume.dw = volume.w.slice();
  for (const layer of layers.reverse()) layer.backward();
  return input.dw;
}

function make(file, definitions, chosen) {
  const net = new convnetjs.Net();
  net.makeLayers(definitions);
  for (const layer of net.layers) if (layer.biases) layer.biases.w = layer.biases.w.map(() => 0.4 * Math.random() - 0.2);
  // What the file says is what runs.
  const json = JSON.parse(JSON.stringify(net.toJSON(), (_, value) => (typeof value === "number" ? Number(value.toPrecision(7)) : value)));
  net.fromJSON(json);
  writeFileSync(join(out, `${file}.json`), JSON.stringify(json));
  const { out_sx, out_sy, out_depth } = net.layers[0];
  const input = new convnetjs.Vol(out_sx, out_sy, out_depth);
  input.w = input.w.map(() => 2 * Math.random() - 1);
  const tensors = { input: planes(input, input.w) };
  for (const [index, name] of chosen) {
    net.forward(input);
    const blob = net.layers[index].out_act;
    tensors[`blob:${name}`] = planes(blob, blob.w);
    tensors[`gradient:${name}`] = planes(input, gradient(net, input, index));
  }
  writeFileSync(join(out, `${file}.safetensors`), safetensors(tensors));
}

make("digits", [
  { type: "input", out_sx: 9, out_sy: 11, out_depth: 1 },
  { type: "conv", sx: 5, sy: 3, filters: 4, stride: 1, pad: 2, activation: "relu" },
  { type: "pool", sx: 3, sy: 2, stride: 2 },
  { type: "lrn", k: 1, n: 3, alpha: 0.5, beta: 0.75 },
  { type: "conv", sx: 2, filters: 6, stride: 2, pad: 1, activation: "tanh" },
  { type: "fc", num_neurons: 8, activation: "sigmoid", drop_prob: 0.3 },
  { type: "softmax", num_classes: 5 },
], [[1, "conv1"], [3, "pool1"], [4, "lrn1"], [6, "tanh1"], [9, "dropout1"], [11, "softmax"]]);

make("maxout", [
  { type: "input", out_sx: 6, out_sy: 5, out_depth: 3 },
  { type: "conv", sx: 3, filters: 6, pad: 1, activation: "maxout", group_size: 3 },
  { type: "pool", sx: 2, stride: 2, pad: 1 },
  { type: "fc", num_neurons: 8 },
  { type: "maxout", group_size: 2 },
  { type: "svm", num_classes: 3 },
], [[2, "maxout1"], [3, "pool1"], [5, "maxout2"], [6, "fc2"]]);

make("regression", [
  { type: "input", out_sx: 1, out_sy: 1, out_depth: 3 },
  { type: "fc", num_neurons: 5, activation: "relu" },
  { type: "regression", num_neurons: 2 },
], [[2, "relu1"], [3, "fc2"]]);
