# Compiler settings that every target shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2") # without NDEBUG: there are no asserts on user input, and internal ones stay on

add_library(tweedie_options INTERFACE)
# Contraction is off so that a fused multiply-add happens only where the source asks for one: CPU and GPU then agree.
# A designated initialiser leaves the members it does not name at their defaults on purpose.
target_compile_options(tweedie_options INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers -ffp-contract=off)
if(TWEEDIE_NATIVE)
  target_compile_options(tweedie_options INTERFACE -march=native)
endif()
if(TWEEDIE_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1") # instrumented SIMD code takes minutes a file at -O2
  # Under sanitizers GCC 12 calls members of std::regex's states uninitialised that are not.
  target_compile_options(tweedie_options INTERFACE -fsanitize=${TWEEDIE_SANITIZE} -fno-omit-frame-pointer -g1
    -Wno-maybe-uninitialized)
  target_link_options(tweedie_options INTERFACE -fsanitize=${TWEEDIE_SANITIZE})
endif()

set(TWEEDIE_HAS_CUDA OFF)
if(NOT TWEEDIE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(TWEEDIE_HAS_CUDA ON)
    include(Cuda)
  elseif(TWEEDIE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TWEEDIE_CUDA=ON, but no CUDA compiler was found: install CUDA Toolkit 13 and put nvcc on PATH")
  endif()
endif()
message(STATUS "Tweedie: CUDA backend ${TWEEDIE_HAS_CUDA}")
