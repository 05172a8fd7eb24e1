#!/usr/bin/env python3
"""Tabulates what peer.sh measured: `compare.py [--markdown] FOLDER` with oneiric.jsonl, default.jsonl and tuned.jsonl
in it. `--markdown` prints the table of the README, with the machine and the day.

Times are medians over sittings of a sitting's median. A ratio is PyTorch's time divided by Oneiric's, above 1 where
Oneiric is faster: the median over sittings of the ratio within a sitting, with its smallest and largest value.
"""
import json
import os
import platform
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import median

PEERS = ("default", "tuned")
KINDS = {"dream": "dream step", "forward": "forward", "train": "training step"}


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def medians_of(rows):
    """(kind, net, size, batch) -> the median times in milliseconds, a sitting each."""
    times = defaultdict(list)
    for row in rows:
        times[row["kind"], row["net"], row["size_px"], row["batch"]].append(row["median_ms"])
    return times


def ratio(peer, own):
    ratios = sorted(a / b for a, b in zip(peer, own, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    arguments = sys.argv[1:]
    markdown = "--markdown" in arguments
    folders = [argument for argument in arguments if argument != "--markdown"]
    if len(folders) != 1:
        sys.exit(__doc__)
    folder = Path(folders[0])
    own_rows = rows_of(folder / "oneiric.jsonl")
    peer_rows = [rows_of(folder / f"{peer}.jsonl") for peer in PEERS]
    own, peers = medians_of(own_rows), [medians_of(rows) for rows in peer_rows]
    table = [["", "net", "px", "pictures", "Oneiric ms", *(text for peer in PEERS for text in (f"{peer} ms", "ratio (range)"))]]
    for key, times in own.items():
        kind, net, size_px, batch = key
        row = [KINDS[kind], net, str(size_px), str(batch), f"{median(times):.1f}"]
        for peer in peers:
            row += [f"{median(peer[key]):.1f}", ratio(peer[key], times)]
        table.append(row)
    if markdown:
        sittings = max(map(len, own.values()))
        torch = peer_rows[0][0]["torch"]
        print(f"PyTorch {torch} and Oneiric in turn on {own_rows[0]['threads']} threads of {processor()} "
              f"({os.cpu_count()} cores), {sittings} sittings, {date.today():%Y-%m-%d}.\n")
        left, right = ":--", "--:"
        table.insert(1, [left, left, *[right] * (len(table[0]) - 2)])
        for row in table:
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))))


if __name__ == "__main__":
    main()
