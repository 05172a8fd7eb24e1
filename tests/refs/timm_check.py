#!/usr/bin/env python3
"""State dicts of timm's nets with random weights, and what these nets answer, for a check of their names.

With Python 3.11, torch 2.15.0, timm 1.0.31, safetensors 0.8.0:

    python3 tests/refs/timm_check.py /tmp/timm resnet18 mobilenetv3_small_100 efficientnet_b0
    TIMM_FOLDER=/tmp/timm cargo test --test it -- --ignored timm_state_dicts
"""
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file


def write(folder, name):
    torch.manual_seed(1)
    net = timm.create_model(name, num_classes=10).eval()
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.1)
    state = {key: value.contiguous() for key, value in net.state_dict().items()}
    save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})
    size = net.pretrained_cfg["input_size"][-1]
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        logits = net.double()(picture.double())
    save_file({"input": picture, "logits": logits}, folder / f"{name}.answers")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        write(folder, name)


if __name__ == "__main__":
    main()
