// The entry point of libFuzzer for the parser that the build names in TWEEDIE_FUZZ_PARSER.
#include "tests/fuzz/parsers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    tweedie::fuzz::TWEEDIE_FUZZ_PARSER(std::as_bytes(std::span(data, size)));
  } catch (const tweedie::Error&) {
  }
  return 0;
}
