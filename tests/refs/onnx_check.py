#!/usr/bin/env python3
"""Checks nets that Oneiric has written as ONNX: by onnx.checker, and by onnxruntime against Oneiric's own outputs.

    ONNX_CHECK_DIR=FOLDER cargo test --test it nets_are_written_for_onnxruntime -- --ignored
    python3 tests/refs/onnx_check.py FOLDER

Made with onnx 1.23.2 and onnxruntime 1.32.0. Prints the largest error relative to the largest output.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

failed = False
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    reference = load_file(path.with_suffix(".safetensors"))
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    output = session.run(None, {given.name: reference["input"].astype(np.float32)})[0].astype(np.float64).ravel()
    expected = reference["output"]
    error = np.abs(output - expected).max() / np.abs(expected).max()
    failed |= not error < 1e-4
    print(f"{path.stem}: {len(model.graph.node)} nodes, input {given.shape}, error {error:.1e}")
sys.exit(failed)
