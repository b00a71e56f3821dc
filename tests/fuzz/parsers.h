#pragma once

#include <string>
#include <vector>

#include "diffusion/data/idx.h"
#include "diffusion/data/png.h"
#include "nn/io/gzip.h"
#include "nn/io/npz.h"
#include "nn/io/safetensors.h"

/// Every parser of files from outside, each as one function of bytes that may throw tweedie::Error and nothing else.
namespace tweedie::fuzz {

inline void npy(io::ByteView bytes) {
  io::parse_npy(io::Bytes(bytes.begin(), bytes.end()), "fuzz");
}
inline void npz(io::ByteView bytes) {
  io::parse_npz(bytes, "fuzz");
}
inline void gzip(io::ByteView bytes) {
  io::gunzip(bytes, "fuzz");
}
inline void idx(io::ByteView bytes) {
  data::parse_idx(io::Bytes(bytes.begin(), bytes.end()), "fuzz");
}
inline void png(io::ByteView bytes) {
  data::decode_png(bytes, "fuzz");
}
inline void safetensors(io::ByteView bytes) {
  const io::SafetensorsFile file(io::Bytes(bytes.begin(), bytes.end()), "fuzz");
  for (const auto& [name, entry] : file.tensors()) {
    try {
      file.read(name);
    } catch (const Error&) {  // one type that is not read must not keep the others from being tried
    }
  }
}

struct Parser {
  std::string name;
  void (*parse)(io::ByteView);
  std::vector<std::string> seeds;  // valid files in tests/golden/io
};

inline std::vector<Parser> parsers() {
  return {{"npy", npy, {"f4.npy", "i4.npy", "version2.npy", "scalar.npy"}},
          {"npz", npz, {"stored.npz", "deflated.npz"}},
          {"gzip", gzip, {"text.gz", "labels-idx1-ubyte.gz"}},
          {"idx", idx, {"images-idx3-ubyte"}},
          {"png", png, {"grey.png", "rgb.png", "interlaced.png"}},
          {"safetensors", safetensors, {"all.safetensors"}}};
}

}  // namespace tweedie::fuzz
