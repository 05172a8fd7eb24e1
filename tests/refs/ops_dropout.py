#!/usr/bin/env python3
"""Prints the PyTorch literals of the dropout test: which values one training pass kept, its output and its gradient.

    python3 tests/refs/ops_dropout.py
"""
import torch

torch.manual_seed(3)
x = torch.tensor([0.5, -1.0, 2.0, 3.5, -0.25, 1.5, 4.0, -2.0], requires_grad=True)
d_y = torch.tensor([1.0, 2.0, -3.0, 0.5, 4.0, -1.0, 0.25, 8.0])
y = torch.nn.functional.dropout(x, p=0.2, training=True)
y.backward(d_y)
print("torch", torch.__version__)
print("kept", [int(v != 0) for v in y.detach()])
print("y", y.tolist())
print("d_x", x.grad.tolist())
print("evaluated", torch.nn.functional.dropout(x, p=0.2, training=False).tolist())
