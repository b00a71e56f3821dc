#!/usr/bin/env python3
"""The float32 GEMM rate that PyTorch reaches on this machine: the yardstick of the other scripts here. Run by hand.

    python scripts/peers/gemm.py [--threads 2] [--size 2048] [--repeats 7]

Prints one JSON object: GFLOP/s (median and best over the repeats) of an n x n x n product.
"""
import argparse
import json
import statistics
import time

import torch


def gemm_rate(size=2048, repeats=7):
    """(median, best) GFLOP/s of a size^3 float32 product."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    torch.mm(left, right, out=out)
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        rates.append(2e-9 * size**3 / (time.perf_counter() - start))
    return statistics.median(rates), max(rates)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    median, best = gemm_rate(options.size, options.repeats)
    print(json.dumps(dict(torch=torch.__version__, threads=options.threads, size=options.size,
                          gflops_median=round(median, 1), gflops_best=round(best, 1))))
