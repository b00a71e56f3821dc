#!/usr/bin/env python3
"""Golden values of the diffusion transformer, computed by PyTorch. Run by hand; the build never runs it.

    pip install torch==2.15.0 numpy safetensors      # the versions of the committed files
    python tests/golden/make_dit.py                  # rewrites every dit_<name>/ beside this script

The model below is written after the description of DiT (Peebles and Xie 2023, arXiv 2212.09748) with the module names of the
DiT/SiT code, so that its state dict has that code's names. As in make_golden.py all arithmetic is float64, stored as
float32, and no parameter is zero or special: the blocks that adaLN-Zero switches off at the start are on.

dit_<name>/
    config.json, diffusion_pytorch_model.safetensors
    io.safetensors    sample (N,C,H,W), timesteps (N), class_labels int64 (N) where there are classes, target, output, loss (N):
                      mean over C,H,W of (output - target)^2; gradient.sample and gradient.<parameter> of the mean of loss;
                      tap.blocks.<i> (N,T,D): the tokens after each block
"""
import json
import math
import pathlib
import shutil

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent

MODELS = {  # name -> (config, batch, timesteps, labels)
    "classes": (dict(input_size=8, patch_size=2, in_channels=1, hidden_size=16, depth=2, num_heads=2, mlp_ratio=4.0,
                     class_dropout_prob=0.1, num_classes=4, learn_sigma=False), 3, [0.0, 417.25, 999.0], [3, 0, 4]),
    "sigma": (dict(input_size=6, patch_size=3, in_channels=3, hidden_size=24, depth=1, num_heads=3, mlp_ratio=2.5,
                   class_dropout_prob=0.0, num_classes=2, learn_sigma=True), 2, [12.0, 700.0], [1, 0]),
    "plain": (dict(input_size=7, patch_size=1, in_channels=1, hidden_size=12, depth=3, num_heads=1, mlp_ratio=1.0,
                   class_dropout_prob=0.0, num_classes=0, learn_sigma=False), 2, [0.5, 60.0], None),
}


def positions_1d(channels, position):
    omega = 1.0 / 10000 ** (np.arange(channels // 2, dtype=np.float64) / (channels / 2))
    phase = np.outer(position.reshape(-1), omega)
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)


def positions_2d(channels, side):
    columns, rows = np.meshgrid(np.arange(side, dtype=np.float64), np.arange(side, dtype=np.float64))
    return np.concatenate([positions_1d(channels // 2, columns), positions_1d(channels // 2, rows)], axis=1)


def modulate(x, shift, scale):
    return x * (1 + scale[:, None]) + shift[:, None]


class PatchEmbed(nn.Module):
    def __init__(self, patch, channels, width):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class TimestepEmbedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t):
        frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float64) / 128)
        phase = t[:, None] * frequencies[None]
        return self.mlp(torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1))


class LabelEmbedder(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        self.embedding_table = nn.Embedding(rows, width)

    def forward(self, labels):
        return self.embedding_table(labels)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(d // self.heads)).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, t, d))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(width, int(width * ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    def __init__(self, width, outputs):
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class Transformer(nn.Module):
    def __init__(self, input_size, patch_size, in_channels, hidden_size, depth, num_heads, mlp_ratio, class_dropout_prob,
                 num_classes, learn_sigma):
        super().__init__()
        self.channels, self.patch, self.side = in_channels, patch_size, input_size // patch_size
        self.outputs = in_channels * (2 if learn_sigma else 1)
        self.x_embedder = PatchEmbed(patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        if num_classes > 0:
            self.y_embedder = LabelEmbedder(num_classes + (1 if class_dropout_prob > 0 else 0), hidden_size)
        self.pos_embed = nn.Parameter(torch.from_numpy(positions_2d(hidden_size, self.side))[None], requires_grad=False)
        self.blocks = nn.ModuleList([Block(hidden_size, num_heads, mlp_ratio) for _ in range(depth)])
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * self.outputs)

    def forward(self, x, t, labels, taps):
        x = self.x_embedder(x) + self.pos_embed
        c = self.t_embedder(t)
        if labels is not None:
            c = c + self.y_embedder(labels)
        for i, block in enumerate(self.blocks):
            x = block(x, c)
            taps[f"tap.blocks.{i}"] = x
        x = self.final_layer(x, c).reshape(-1, self.side, self.side, self.patch, self.patch, self.outputs)
        x = torch.einsum("nhwpqc->nchpwq", x).reshape(-1, self.outputs, self.side * self.patch, self.side * self.patch)
        return x[:, :self.channels]


def make(index, name, config, count, timesteps, labels):
    folder = HERE / f"dit_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    generator = torch.Generator().manual_seed(2000 + index)
    model = Transformer(**config).double()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key == "pos_embed":
                parameter.copy_(parameter.float())
                continue
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            gain = 1.6 if "qkv" in key else 1.0
            spread = gain / math.sqrt(parameter[0].numel()) if parameter.ndim >= 2 else 0.2
            parameter.copy_((spread * noise).float())

    def draw():
        size = config["input_size"]
        return torch.randn((count, config["in_channels"], size, size), generator=generator, dtype=torch.float64).float()

    sample, target = draw(), draw()
    timesteps = torch.tensor(timesteps, dtype=torch.float32)
    labels = None if labels is None else torch.tensor(labels)
    exact, taps = sample.double().requires_grad_(), {}
    output = model(exact, timesteps.double(), labels, taps)
    loss = ((output - target.double()) ** 2).mean(dim=(1, 2, 3))
    loss.mean().backward()
    tensors = dict(sample=sample, timesteps=timesteps, target=target, output=output, loss=loss, **taps)
    tensors["gradient.sample"] = exact.grad
    if labels is not None:
        tensors["class_labels"] = labels
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors["gradient." + key] = parameter.grad

    def stored(values):
        return {key: (v if v.dtype == torch.int64 else v.detach().float()).contiguous().clone() for key, v in values.items()}

    save_file(stored(tensors), folder / "io.safetensors")
    save_file(stored(model.state_dict()), folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"_class_name": "DiT", **config}, indent=2, sort_keys=True) + "\n")
    print(f"dit_{name}: {sum(p.numel() for p in model.parameters())} parameters, output norm {output.norm():.3f}")


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    for index, (name, model) in enumerate(MODELS.items()):
        make(index, name, *model)
