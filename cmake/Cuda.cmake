# The CUDA language and the settings that every .cu file shares.
set(CMAKE_CUDA_ARCHITECTURES "${TWEEDIE_CUDA_ARCHITECTURES}")
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
set(CMAKE_CUDA_FLAGS_RELEASE "-O2")
enable_language(CUDA)
# So that CMake never names /usr/include again, which hides the C headers from the C++ library's.
list(APPEND CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
find_package(CUDAToolkit 13 REQUIRED)

add_library(tweedie_cuda_options INTERFACE)
# -fmad=false: as on the host, a fused multiply-add happens only where the source asks for one (fmaf), so that CPU and GPU
# agree. The PTX stays readable in the fat binary and knows its source lines: programs run it where there is no GPU.
target_compile_options(tweedie_cuda_options INTERFACE -fmad=false --expt-relaxed-constexpr -lineinfo -Xfatbin -compress=false
  -Werror all-warnings "-Xcompiler=-Wall,-Wextra,-Werror,-ffp-contract=off,-Wno-missing-field-initializers")
# fmt 9 takes nvcc for a compiler without constexpr.
target_compile_definitions(tweedie_cuda_options INTERFACE FMT_USE_CONSTEXPR=1)
# cudart by name and not by path: no rpath, so the loader's path decides which runtime serves.
add_library(tweedie_cuda_link INTERFACE)
target_link_libraries(tweedie_cuda_link INTERFACE "-L${CUDAToolkit_LIBRARY_DIR}" -lcudart)
