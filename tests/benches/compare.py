#!/usr/bin/env python3
"""Tabulates what peer.sh measured: `compare.py FOLDER` with oneiric.jsonl, default.jsonl and tuned.jsonl in it.

Times are medians over sittings of a sitting's median. A ratio is PyTorch's time divided by Oneiric's, above 1 where
Oneiric is faster: the median over sittings of the ratio within a sitting, with its smallest and largest value.
"""
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

PEERS = ("default", "tuned")


def medians_of(path):
    """(net, size) -> the median times in milliseconds, a sitting each."""
    times = defaultdict(list)
    for line in path.read_text().splitlines():
        row = json.loads(line)
        times[row["net"], row["size_px"]].append(row["median_ms"])
    return times


def ratio(peer, own):
    ratios = sorted(a / b for a, b in zip(peer, own, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    own = medians_of(folder / "oneiric.jsonl")
    peers = [medians_of(folder / f"{peer}.jsonl") for peer in PEERS]
    rows = [["net", "px", "oneiric ms", *(text for peer in PEERS for text in (f"{peer} ms", "ratio (range)"))]]
    for key, times in own.items():
        row = [key[0], str(key[1]), f"{median(times):.1f}"]
        for peer in peers:
            row += [f"{median(peer[key]):.1f}", ratio(peer[key], times)]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        first, *rest = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join([first, *rest]))


if __name__ == "__main__":
    main()
