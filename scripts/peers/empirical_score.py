#!/usr/bin/env python3
"""The exact empirical posterior mean in plain float32 PyTorch. Run by hand.

    python scripts/peers/empirical_score.py [--queries 256] [--data 60000] [--dim 784] [--threads 2]

x^(z) = sum_i softmax_i(-|z - a x_i|^2 / 2 s^2) x_i for random data: what a user would write, in float32 with expanded squares
(which loses its digits at small s) and the whole queries x data matrix in memory; and the same in tiles with an online
softmax. For reference also a faiss exact 1-nearest-neighbour search (half of the flops), where faiss is installed.
flops = 4 x queries x data x dim. Prints one JSON object.
"""
import argparse
import json
import statistics
import time

import torch

from gemm import gemm_rate


def whole(queries, data, norms, scale, sigma):
    logits = (scale * queries @ data.T - 0.5 * scale * scale * norms) / (sigma * sigma)
    return torch.softmax(logits, dim=1) @ data


def tiled(queries, data, norms, scale, sigma, tile=4096):
    count = len(queries)
    largest = torch.full((count, 1), -torch.inf)
    total, mean = torch.zeros(count, 1), torch.zeros_like(queries)
    for part, part_norms in zip(data.split(tile), norms.split(tile)):
        logits = (scale * queries @ part.T - 0.5 * scale * scale * part_norms) / (sigma * sigma)
        new_largest = torch.maximum(largest, logits.amax(1, keepdim=True))
        keep, weights = torch.exp(largest - new_largest), torch.exp(logits - new_largest)
        total = total * keep + weights.sum(1, keepdim=True)
        mean = torch.addmm(mean * keep, weights, part)
        largest = new_largest
    return mean / total


def median_seconds(function, repeats=5):
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in [("queries", 256), ("data", 60000), ("dim", 784), ("threads", 2)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    data = 2 * torch.rand(options.data, options.dim) - 1
    norms = (data * data).sum(1)
    flops = 4e-9 * options.queries * options.data * options.dim
    report = dict(torch=torch.__version__, threads=options.threads, queries=options.queries, data=options.data,
                  dim=options.dim, gflop=round(flops, 1), gemm_gflops=round(gemm_rate()[0], 1))
    for sigma in [1e-3, 1.0, 5.0, 100.0]:
        queries = data[: options.queries] + sigma * torch.randn(options.queries, options.dim)
        for name, function in [("whole", whole), ("tiled", tiled)]:
            seconds = median_seconds(lambda: function(queries, data, norms, 1.0, sigma))
            report[f"{name} sigma={sigma:g}"] = dict(seconds=round(seconds, 3), gflops=round(flops / seconds, 1))
    try:
        import faiss
        faiss.omp_set_num_threads(options.threads)
        index = faiss.IndexFlatL2(options.dim)
        index.add(data.numpy())
        seconds = median_seconds(lambda: index.search(queries.numpy(), 1))
        report["faiss nearest"] = dict(seconds=round(seconds, 3), gflops=round(0.5 * flops / seconds, 1))
    except ImportError:
        report["faiss nearest"] = "not installed"
    print(json.dumps(report))
