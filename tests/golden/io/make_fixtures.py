"""Makes the files of this folder with the libraries that own their formats (numpy, torch, safetensors, Pillow).

usage: python make_fixtures.py [FOLDER]     (needs these four)
Element i of every array of n elements, in C order, is (3 i + 1) mod 97 less 40 for signed and floating types
(divided by 8 for the latter, which float16 and bfloat16 hold exactly); bool is i mod 2.
"""
import gzip
import pathlib
import struct
import sys
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)


def values(shape, dtype):
    n = int(np.prod(shape, dtype=np.int64))
    base = (3 * np.arange(n) + 1) % 97
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        out = np.arange(n) % 2
    elif dtype.kind == "u":
        out = base
    elif dtype.kind in "fc":
        out = (base - 40) / 8
    else:
        out = base - 40
    return out.astype(dtype).reshape(shape)


for dtype in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]:
    np.save(folder / f"{dtype}.npy", values((2, 3, 5), dtype))
np.save(folder / "scalar.npy", values((), "f4"))
np.save(folder / "vector.npy", values((7,), "f8"))
np.save(folder / "empty.npy", values((0, 4), "f4"))
for version in [(2, 0), (3, 0)]:
    with open(folder / f"version{version[0]}.npy", "wb") as file:
        np.lib.format.write_array(file, values((4, 4), "f4"), version=version)

np.save(folder / "bad_big_endian.npy", values((2, 3), ">f4"))
np.save(folder / "bad_fortran.npy", np.asfortranarray(values((2, 3), "f4")))
np.save(folder / "bad_object.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
np.save(folder / "bad_complex.npy", values((2, 3), "c8"))
np.save(folder / "bad_string.npy", np.array(["ab", "c"]))
np.save(folder / "bad_record.npy", np.zeros(2, dtype=[("x", "f4"), ("y", "i4")]))

arrays = {"x": values((2, 3), "f4"), "labels": values((5,), "i8"), "pixels": values((4, 4), "u1")}
np.savez(folder / "stored.npz", **arrays)
np.savez_compressed(folder / "deflated.npz", **arrays)

names = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8}
tensors = {f"block.{name}": torch.from_numpy(values((3, 4), "f8")).mul(1 if name[0] in "FB" else 8).to(dtype)
           for name, dtype in names.items()}
tensors["block.U8"] = torch.from_numpy(values((3, 4), "u1"))
tensors["block.BOOL"] = torch.from_numpy(values((3, 4), "b1"))
tensors["scalar"] = torch.tensor(1.5)
tensors["empty"] = torch.zeros(0, 3)
save_file(tensors, folder / "all.safetensors", metadata={"format": "pt", "note": "tiny"})

# Two members, as `cat a.gz b.gz` makes.
(folder / "text.gz").write_bytes(gzip.compress(b"the first member, ", mtime=0) + gzip.compress(b"the second", mtime=0))

# PNG, by Pillow: grey, RGB, and kinds that are refused.
Image.fromarray(values((4, 5), "u1"), "L").save(folder / "grey.png")
Image.fromarray(values((4, 5, 3), "u1"), "RGB").save(folder / "rgb.png")
Image.fromarray(values((4, 5, 4), "u1"), "RGBA").save(folder / "bad_alpha.png")
Image.fromarray(values((4, 5), "u1"), "L").convert("P").save(folder / "bad_palette.png")
Image.fromarray(values((4, 5), "u2")).save(folder / "bad_16bit.png")



def interlaced_png(image):
    """Adam7: seven passes, each a picture of its own with filter byte 0 before every row."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b""
    for top, left, rows, columns in passes:
        part = image[top::rows, left::columns]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


(folder / "interlaced.png").write_bytes(interlaced_png(values((11, 13), "u1")))

# An IDX pair: three 4 x 5 images and their labels, plain and gzipped.
images = struct.pack(">IIII", 0x803, 3, 4, 5) + values((3, 4, 5), "u1").tobytes()
labels = struct.pack(">II", 0x801, 3) + bytes([2, 0, 9])
(folder / "images-idx3-ubyte").write_bytes(images)
(folder / "labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
