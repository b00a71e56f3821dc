#!/usr/bin/env python3
"""Golden values for the tests, computed by PyTorch and diffusers. Run by hand; the build never runs it.

    pip install torch==2.15.0 diffusers==0.42.1 numpy safetensors      # the versions of the committed files
    python tests/golden/make_golden.py                                 # rewrites every fixture beside this script

Every fixture is a function of the seeds in this file alone. All arithmetic is done in float64 and the results are stored
as float32, so that a stored value is the exact answer to half a float32 ulp and not one float32 program's opinion of it.

unet_<name>/
    config.json, diffusion_pytorch_model.safetensors
                      exactly as `UNet2DModel.save_pretrained` writes them; `unet_ddpm` is then rewritten as early
                      releases of diffusers wrote it: attention tensors named query/key/value/proj_attn, and only the
                      config fields that existed then. No parameter is zero or at its initial value of one.
    io.safetensors    sample (N,C,H,W), timesteps (N) float32, class_labels (int64 (N), or float32 (N) or (N,D)), target,
                      output = model(sample, timesteps, class_labels), evaluated (dropout off);
                      loss (N): mean over C,H,W of (output - target)^2;
                      gradient.sample and gradient.<parameter>: of the mean of `loss` over samples, for the parameters that
                      diffusers trains, under the names of `save_pretrained` (also for unet_ddpm: the present-day names);
                      output_float32: the output of the unmodified float32 model, whose time embedding is rounded to float32
                      at every step (its difference from `output` is what float32 costs).

operations.safetensors
    <operation>.<case>.<tensor>: operands, results and gradients (`gradient.<operand>` of sum(cotangent * output)) of the
    operations whose conventions PyTorch and diffusers define, in PyTorch's layouts (N,C,H,W; O,I,kh,kw). The file's metadata
    entry `hyperparameters` is a JSON object {"<operation>.<case>": {...}}.
"""
import json
import math
import pathlib
import shutil

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from diffusers.models import embeddings
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
FIELDS_OF_OLD_RELEASES = [  # what a config.json of diffusers 0.0.4 held
    "act_fn", "attention_head_dim", "block_out_channels", "center_input_sample", "down_block_types", "downsample_padding",
    "flip_sin_to_cos", "freq_shift", "in_channels", "layers_per_block", "mid_block_scale_factor", "norm_eps",
    "norm_num_groups", "out_channels", "sample_size", "time_embedding_type", "up_block_types",
]
OLD_ATTENTION_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

DOWN, ATTENTION_DOWN = "DownBlock2D", "AttnDownBlock2D"
UP, ATTENTION_UP = "UpBlock2D", "AttnUpBlock2D"

# name -> (config, (N, H, W), timesteps, class labels)
UNETS = {
    # The defaults of today: cos before sin, no frequency shift, two heads of 8, symmetric padding; two blocks a level.
    "default": (dict(in_channels=1, out_channels=1, sample_size=8, block_out_channels=(8, 16), layers_per_block=2,
                     down_block_types=(DOWN, ATTENTION_DOWN), up_block_types=(ATTENTION_UP, UP), norm_num_groups=4,
                     attention_head_dim=8), (2, 8, 8), [3.0, 417.0], None),
    # What google/ddpm-cifar10-32 has: sin before cos, frequency shift 1, one head, (0,1,0,1) padding, eps 1e-6; old names.
    "ddpm": (dict(in_channels=3, out_channels=3, sample_size=8, block_out_channels=(8, 8, 16), layers_per_block=1,
                  down_block_types=(DOWN, ATTENTION_DOWN, DOWN), up_block_types=(UP, ATTENTION_UP, UP), norm_num_groups=4,
                  attention_head_dim=None, flip_sin_to_cos=False, freq_shift=1, downsample_padding=0, norm_eps=1e-6),
             (2, 8, 8), [0.0, 950.0], None),
    # Noise levels as Fourier features, scale and shift, resampling by residual blocks (in the attention blocks only),
    # a mid block whose attention has no norm, blocks divided by sqrt(2), not square.
    "fourier": (dict(in_channels=1, out_channels=1, sample_size=(8, 12), block_out_channels=(8, 12), layers_per_block=1,
                     down_block_types=(ATTENTION_DOWN, ATTENTION_DOWN), up_block_types=(ATTENTION_UP, ATTENTION_UP),
                     norm_num_groups=4, attention_head_dim=4, time_embedding_type="fourier", time_embedding_dim=16,
                     resnet_time_scale_shift="scale_shift", downsample_type="resnet", upsample_type="resnet",
                     mid_block_scale_factor=math.sqrt(2.0)), (2, 8, 12), [0.02, 3.5], None),
    # No attention anywhere, input from [0, 1], scale and shift, other input than output channels, dropout (not active).
    "plain": (dict(in_channels=2, out_channels=3, sample_size=16, block_out_channels=(8, 8), layers_per_block=2,
                   down_block_types=(DOWN, DOWN), up_block_types=(UP, UP), norm_num_groups=2, add_attention=False,
                   center_input_sample=True, resnet_time_scale_shift="scale_shift", dropout=0.3, time_embedding_dim=16),
              (2, 16, 16), [10.0, 999.0], None),
    # Class embedding; one level, so that any size will do; groups = channels; ReLU; fractional times.
    "classes": (dict(in_channels=1, out_channels=1, sample_size=None, block_out_channels=(8,), layers_per_block=1,
                     down_block_types=(ATTENTION_DOWN,), up_block_types=(ATTENTION_UP,), norm_num_groups=8,
                     attention_head_dim=2, num_class_embeds=5, act_fn="relu"), (3, 7, 5), [0.25, 61.5, 800.0], [4, 0, 4]),
    # Labels embedded as times; a group norm of its own in the mid block's attention; frequency shift with cos first; GELU.
    "class_times": (dict(in_channels=1, out_channels=1, sample_size=8, block_out_channels=(8, 8), layers_per_block=1,
                         down_block_types=(DOWN, DOWN), up_block_types=(UP, UP), norm_num_groups=1,
                         attn_norm_num_groups=2, attention_head_dim=8, freq_shift=1, class_embed_type="timestep",
                         resnet_time_scale_shift="scale_shift", act_fn="gelu", norm_eps=1e-3),
                    (2, 8, 8), [3.0, 250.0], [7.0, 33.0]),
    # Labels that are embeddings already; no mid block; channels that the head size does not divide; an odd embedding.
    "identity": (dict(in_channels=3, out_channels=1, sample_size=6, block_out_channels=(9, 12), layers_per_block=1,
                      down_block_types=(ATTENTION_DOWN, DOWN), up_block_types=(UP, ATTENTION_UP), norm_num_groups=3,
                      attention_head_dim=4, mid_block_type=None, class_embed_type="identity", time_embedding_dim=20,
                      flip_sin_to_cos=False), (2, 6, 10), [1.0, 77.0], "vectors of time_embedding_dim"),
    # A learned time embedding; the second level's attention with a group norm of one group.
    "learned": (dict(in_channels=1, out_channels=2, sample_size=4, block_out_channels=(8, 8), layers_per_block=1,
                     down_block_types=(DOWN, ATTENTION_DOWN), up_block_types=(ATTENTION_UP, UP), norm_num_groups=1,
                     attention_head_dim=None, time_embedding_type="learned", num_train_timesteps=11),
                (2, 4, 4), [0.0, 10.0], None),
}


def timestep_embedding_float64(timesteps, embedding_dim, flip_sin_to_cos=False, downscale_freq_shift=1.0, scale=1.0,
                               max_period=10000):
    """diffusers' get_timestep_embedding, which always computes in float32, without its roundings."""
    half = embedding_dim // 2
    exponent = -math.log(max_period) * torch.arange(half, dtype=torch.float64) / (half - downscale_freq_shift)
    phase = scale * timesteps[:, None].double() * torch.exp(exponent)[None, :]
    halves = [torch.cos(phase), torch.sin(phase)] if flip_sin_to_cos else [torch.sin(phase), torch.cos(phase)]
    return F.pad(torch.cat(halves, dim=-1), (0, embedding_dim % 2))


def randomise(model, generator):
    """Weights of order fan_in^-1/2, scales around 1, shifts around 0: every parameter matters and none is special."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if name == "time_proj.weight" and parameter.ndim == 1:
                value = 4.0 * noise  # Fourier frequencies
            elif parameter.ndim >= 2:
                gain = 1.6 if (".to_q." in name or ".to_k." in name) else 1.0
                value = gain * noise / math.sqrt(parameter[0].numel())
            else:
                value = (1.0 if "norm" in name and name.endswith("weight") else 0.0) + 0.2 * noise
            parameter.copy_(value.float())  # what the file holds is what was used


def as_float32(tensors):
    return {name: (tensor if tensor.dtype == torch.int64 else tensor.detach().float()).contiguous().clone()
            for name, tensor in tensors.items()}


def make_unet(index, name, config, extents, timesteps, labels):
    folder = HERE / f"unet_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(1000 + index)
    model = UNet2DModel(**config).eval()
    randomise(model, generator)
    model.save_pretrained(folder)

    count, height, width = extents

    def draw(channels):
        return torch.randn((count, channels, height, width), generator=generator, dtype=torch.float64).float()

    sample, target = draw(config["in_channels"]), draw(config["out_channels"])
    timesteps = torch.tensor(timesteps, dtype=torch.float32)
    learned = config.get("time_embedding_type") == "learned"
    if labels == "vectors of time_embedding_dim":
        labels = torch.randn((count, config["time_embedding_dim"]), generator=generator, dtype=torch.float64).float()
    elif labels is not None:
        labels = torch.tensor(labels)  # int64 from integers, float32 from floats

    def evaluate(sample, timesteps, labels):
        return model(sample, timesteps.long() if learned else timesteps, labels).sample

    with torch.no_grad():
        output_float32 = evaluate(sample, timesteps, labels)

    model = model.double()
    exact_sample = sample.double().requires_grad_()
    exact_labels = labels.double() if labels is not None and labels.is_floating_point() else labels
    original, embeddings.get_timestep_embedding = embeddings.get_timestep_embedding, timestep_embedding_float64
    output = evaluate(exact_sample, timesteps.double(), exact_labels)
    embeddings.get_timestep_embedding = original
    loss = ((output - target.double()) ** 2).mean(dim=(1, 2, 3))
    loss.mean().backward()

    tensors = dict(sample=sample, timesteps=timesteps, target=target, output=output, output_float32=output_float32,
                   loss=loss)
    tensors["gradient.sample"] = exact_sample.grad
    if labels is not None:
        tensors["class_labels"] = labels
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors["gradient." + parameter_name] = parameter.grad
    save_file(as_float32(tensors), folder / "io.safetensors")

    if name == "ddpm":
        write_as_old_release(folder)
    scale = output.detach().norm()
    print(f"unet_{name}: {sum(p.numel() for p in model.parameters())} parameters, output norm {scale:.3f}, "
          f"float32 differs by {((output_float32 - output).norm() / scale).item():.1e}")


def write_as_old_release(folder):
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    for new, old in OLD_ATTENTION_NAMES.items():
        weights = {name.replace(new, old): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    kept = {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4"}
    kept.update({field: config[field] for field in FIELDS_OF_OLD_RELEASES})
    (folder / "config.json").write_text(json.dumps(kept, indent=2) + "\n")
    reloaded = UNet2DModel.from_pretrained(folder)  # diffusers itself must still read it
    assert all(torch.isfinite(p).all() for p in reloaded.parameters())


class Operations:
    """Collects operands, results and gradients of operations."""

    def __init__(self):
        self.tensors, self.metadata = {}, {}
        self.generator = torch.Generator().manual_seed(7)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).float().double()

    def record(self, name, function, operands, **hyperparameters):
        operands = {key: value.clone().requires_grad_() for key, value in operands.items()}
        output = function(**operands)
        cotangent = self.normal(*output.shape)
        (cotangent * output).sum().backward()
        for key, value in operands.items():
            self.tensors[f"{name}.{key}"] = value
            self.tensors[f"{name}.gradient.{key}"] = value.grad
        self.tensors[f"{name}.cotangent"] = cotangent
        self.tensors[f"{name}.output"] = output
        if hyperparameters:
            self.metadata[name] = hyperparameters

    def values(self, name, tensors, **hyperparameters):
        self.tensors.update({f"{name}.{key}": value for key, value in tensors.items()})
        if hyperparameters:
            self.metadata[name] = hyperparameters


def make_operations():
    ops = Operations()
    for name, kernel, stride, padding, extents, channels in [
        ("same3", 3, 1, (1, 1, 1, 1), (6, 5), (3, 4)), ("one_by_one", 1, 1, (0, 0, 0, 0), (4, 5), (5, 3)),
        ("stride2", 3, 2, (1, 1, 1, 1), (6, 8), (4, 4)), ("stride2_odd", 3, 2, (1, 1, 1, 1), (7, 5), (2, 3)),
        ("stride2_asymmetric", 3, 2, (0, 1, 0, 1), (6, 8), (4, 4)),
        ("stride2_asymmetric_odd", 3, 2, (0, 1, 0, 1), (7, 5), (2, 3)), ("valid3", 3, 1, (0, 0, 0, 0), (5, 6), (1, 2)),
        ("to_one", 3, 1, (1, 1, 1, 1), (5, 5), (6, 1)), ("from_one", 3, 1, (1, 1, 1, 1), (5, 5), (1, 6)),
    ]:
        top, bottom, left, right = padding
        ops.record(f"conv2d.{name}",
                   lambda input, weight, bias: F.conv2d(F.pad(input, (left, right, top, bottom)), weight, bias, stride),
                   dict(input=ops.normal(2, channels[0], *extents),
                        weight=ops.normal(channels[1], channels[0], kernel, kernel), bias=ops.normal(channels[1])),
                   stride=stride, top=top, bottom=bottom, left=left, right=right)

    for name, groups, channels, eps in [("four", 4, 12, 1e-5), ("one", 1, 6, 1e-6), ("all", 5, 5, 1e-3)]:
        for activation in ["", "_silu"]:
            def group_norm(input, weight, bias):
                output = F.group_norm(input, groups, weight, bias, eps)
                return F.silu(output) if activation else output
            ops.record(f"group_norm{activation}.{name}", group_norm,
                       dict(input=2.0 * ops.normal(2, channels, 3, 5) + 0.7, weight=1.0 + 0.3 * ops.normal(channels),
                            bias=0.3 * ops.normal(channels)), groups=groups, eps=eps)

    ops.record("layer_norm.affine", lambda input, weight, bias: F.layer_norm(input, (7,), weight, bias, 1e-5),
               dict(input=2.0 * ops.normal(3, 4, 7) + 0.5, weight=1.0 + 0.3 * ops.normal(7), bias=0.3 * ops.normal(7)),
               eps=1e-5)
    ops.record("layer_norm.modulated",  # DiT's adaLN: no affine part, (1 + scale) and shift of each sample
               lambda input, scale, shift: F.layer_norm(input, (7,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None],
               dict(input=2.0 * ops.normal(3, 4, 7) + 0.5, scale=0.3 * ops.normal(3, 7), shift=ops.normal(3, 7)), eps=1e-6)

    for name, batch, heads, queries, keys, dim in [("self", 2, 3, 9, 9, 4), ("cross", 1, 2, 5, 8, 3),
                                                   ("single", 2, 1, 1, 1, 8)]:
        ops.record(f"attention.{name}",  # (batch, heads, tokens, dim), softmax(q k' / sqrt(dim)) v
                   lambda query, key, value: F.scaled_dot_product_attention(query, key, value),
                   dict(query=1.5 * ops.normal(batch, heads, queries, dim), key=1.5 * ops.normal(batch, heads, keys, dim),
                        value=ops.normal(batch, heads, keys, dim)))

    points = torch.cat([torch.linspace(-9, 9, 37, dtype=torch.float64), torch.tensor([0.0, 1e-4, -30.0, 30.0]).double()])
    points = points.float().double()
    for name, function in [("silu", F.silu), ("relu", F.relu), ("gelu_erf", F.gelu),
                           ("gelu_tanh", lambda input: F.gelu(input, approximate="tanh"))]:
        ops.record(f"activation.{name}", function, dict(input=points))
    ops.record("softmax.last_axis", lambda input: F.softmax(input, dim=-1), dict(input=5.0 * ops.normal(3, 11)))
    ops.record("linear.plain", F.linear, dict(input=ops.normal(3, 4, 5), weight=ops.normal(6, 5), bias=ops.normal(6)))
    ops.record("upsample_nearest.twice", lambda input: F.interpolate(input, scale_factor=2.0, mode="nearest"),
               dict(input=ops.normal(2, 3, 3, 4)))
    for name, extents in [("even", (4, 6)), ("odd", (5, 7))]:
        ops.record(f"average_pool.{name}", lambda input: F.avg_pool2d(input, 2, 2), dict(input=ops.normal(2, 3, *extents)))

    times = torch.tensor([0.0, 0.25, 1.0, 17.0, 999.0])
    for dim in [8, 9]:
        for flip in [False, True]:
            for shift in [0, 1]:
                ops.values(f"sinusoidal_embedding.dim{dim}_flip{int(flip)}_shift{shift}",
                           dict(timesteps=times, output=timestep_embedding_float64(times, dim, flip, shift)),
                           dim=dim, flip_sin_to_cos=flip, freq_shift=shift)
                assert torch.allclose(timestep_embedding_float64(times, dim, flip, shift).float(),
                                      embeddings.get_timestep_embedding(times, dim, flip, shift), atol=2e-4)
    fourier = embeddings.GaussianFourierProjection(embedding_size=6, scale=16)
    fourier.weight.data = 16.0 * ops.normal(6)
    sigmas = torch.tensor([0.01, 0.5, 1.0, 80.0])
    ops.values("fourier_embedding.log", dict(timesteps=sigmas, weight=fourier.weight, output=fourier(sigmas.double())))

    for name, decay, clip in [("adam", 0.0, None), ("adamw", 0.1, None), ("clipped", 0.01, 1.0)]:
        parameter = torch.nn.Parameter(ops.normal(13))
        gradients = [ops.normal(13) * 10.0 ** exponent for exponent in (0, -3, 1, 0, -9)]
        recorded = dict(start=parameter.detach().clone(), gradients=torch.stack(gradients))
        optimiser = torch.optim.AdamW([parameter], lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay)
        steps, norms = [], []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            if clip is not None:
                norms.append(torch.nn.utils.clip_grad_norm_([parameter], clip))
            optimiser.step()
            steps.append(parameter.detach().clone())
        recorded["parameters"] = torch.stack(steps)
        if norms:
            recorded["norms"] = torch.stack(norms)
        state = optimiser.state[parameter]
        recorded.update(first_moment=state["exp_avg"], second_moment=state["exp_avg_sq"])
        ops.values(f"adamw.{name}", recorded, learning_rate=1e-2, beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=decay,
                   clip_norm=clip)

    save_file(as_float32(ops.tensors), HERE / "operations.safetensors", metadata={"hyperparameters": json.dumps(ops.metadata)})
    print(f"operations: {len(ops.tensors)} tensors")


def main():
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, numpy {np.__version__}")
    torch.use_deterministic_algorithms(True)
    for index, (name, (config, extents, timesteps, labels)) in enumerate(UNETS.items()):
        make_unet(index, name, config, extents, timesteps, labels)
    make_operations()
    files = [path for path in HERE.rglob("*") if path.is_file()]
    print(f"{sum(path.stat().st_size for path in files)} bytes in all, largest {max(p.stat().st_size for p in files)}")


if __name__ == "__main__":
    main()
