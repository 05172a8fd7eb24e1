#!/usr/bin/env python3
"""Prints the PyTorch literals of the optimizers' test: a weight of four values after each of five steps on given
gradients, the learning rate halved after the third.

    python3 tests/refs/optimizers.py
"""
import torch

START = [1.0, -2.0, 0.5, 0.0]
GRADIENTS = [
    [0.5, -1.0, 0.25, 0.0], [1.5, 0.5, -0.75, 2.0], [-1.0, 0.125, 3.0, -0.5], [0.0, 0.0, 0.0, 0.0], [2.0, -4.0, 1.0, 1e-3],
]
OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, weight_decay=0.01),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1, weight_decay=0.01),
    "adam": lambda params: torch.optim.Adam(params, lr=0.1, weight_decay=0.01),
}

print("torch", torch.__version__)
for name, make in OPTIMIZERS.items():
    weight = torch.tensor(START, requires_grad=True)
    optimizer = make([weight])
    print(name)
    for step, gradient in enumerate(GRADIENTS):
        if step == 3:
            optimizer.param_groups[0]["lr"] = 0.05
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        print("   ", [float(f"{w:.8g}") for w in weight.detach().double()])
