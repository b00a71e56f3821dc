#!/usr/bin/env python3
"""One denoising-score-matching training step of diffusers' UNet2DModel in eager PyTorch on the CPU. Run by hand.

    python scripts/peers/unet_step.py [--preset unet-s] [--batch 128] [--steps 5] [--threads 2]

The network is the preset of the same name here: base width 16/32/64 (unet-xs/s/m), multipliers 1,2,2, two blocks a level,
attention at the lowest, on 32 x 32 x 1. A step is: draw x, t and noise, form the noised state, forward, mean squared error,
backward, fused AdamW. Contiguous and channels_last alternate, so that both see the same machine; the GEMM rate is
taken in the same run. Prints one JSON object; times in seconds.
"""
import argparse
import json
import statistics
import time

import diffusers
import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from gemm import gemm_rate

WIDTHS = {"unet-xs": 16, "unet-s": 32, "unet-m": 64}


def preset(name):
    width = WIDTHS[name]
    return UNet2DModel(sample_size=32, in_channels=1, out_channels=1, block_out_channels=(width, 2 * width, 2 * width),
                       layers_per_block=2, down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
                       up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), norm_num_groups=8,
                       attention_head_dim=32)


def make_step(name, batch, memory_format):
    torch.manual_seed(0)
    model = preset(name).to(memory_format=memory_format).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images = torch.rand(batch, 1, 32, 32).to(memory_format=memory_format)

    def step():
        time_ = torch.rand(batch)
        noise = torch.randn_like(images)
        level = time_[:, None, None, None]
        state = (1 - level) * images + level * noise
        loss = ((model(state, 1000 * time_).sample - (noise - images)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=WIDTHS, default="unet-s")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    steps = {"contiguous": make_step(options.preset, options.batch, torch.contiguous_format),
             "channels_last": make_step(options.preset, options.batch, torch.channels_last)}
    counter = FlopCounterMode(display=False)
    with counter:
        steps["contiguous"]()
    steps["channels_last"]()
    seconds = {name: [] for name in steps}
    rates = []
    for _ in range(options.steps):
        rates.append(gemm_rate(repeats=2)[1])
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    rate, flops = statistics.median(rates), counter.get_total_flops()
    report = dict(torch=torch.__version__, diffusers=diffusers.__version__, preset=options.preset, batch=options.batch,
                  threads=options.threads, gflop_per_step=round(flops * 1e-9, 1), gemm_gflops=round(rate, 1))
    for name, values in seconds.items():
        median = statistics.median(values)
        report[name] = dict(median=round(median, 3), best=round(min(values), 3),
                            fraction_of_gemm=round(flops * 1e-9 / median / rate, 3))
    print(json.dumps(report))
