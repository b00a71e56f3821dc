// Launches.
#include <cstring>

#include "core/settings.h"
#include "exec/report.h"
#include "exec/scheduler.h"
#include "runtime/device.h"
#include "runtime/state.h"

namespace tweedie::vgpu {

std::vector<u8> pack_parameters(const Kernel& kernel, void* const* args) {
  std::vector<u8> bytes(kernel.function->parameter_bytes + 16, 0);
  const auto& parameters = kernel.function->parameters;
  for (std::size_t k = 0; k < parameters.size(); ++k)
    std::memcpy(bytes.data() + parameters[k].offset, args[k], parameters[k].size);
  bytes.resize(kernel.function->parameter_bytes);
  return bytes;
}

int blocks_per_multiprocessor(Kernel& kernel, int threads, size_t shared) {
  const Program& program = kernel.module->program(kernel);
  const Device& device = this_device();
  if (threads <= 0 || threads > device.threads_per_block) return 0;
  const int warps = (threads + 31) / 32;
  const u64 bytes = program.static_shared + shared + 1024;  // each block holds 1 KiB of the system's
  const int registers = static_cast<int>(std::min(255u, program.registers + 8 + 7) / 8 * 8);
  int blocks = std::min(device.blocks_per_multiprocessor, device.threads_per_multiprocessor / (warps * 32));
  blocks = std::min<int>(blocks, static_cast<int>(device.shared_per_multiprocessor / bytes));
  return std::min(blocks, std::max(1, device.registers / (registers * warps * 32)));
}

cudaError_t validate_launch(Kernel& kernel, dim3 grid, dim3 block, size_t shared, bool cooperative) {
  const std::lock_guard lock(State::instance().mutex);
  const Program& program = kernel.module->program(kernel);
  const Device& device = this_device();
  auto refuse = [&](cudaError_t error, const std::string& why) {
    report(fmt::format("launch: kernel {}, grid ({}, {}, {}), block ({}, {}, {}): {}", kernel.name, grid.x, grid.y,
                       grid.z, block.x, block.y, block.z, why));
    return error;
  };
  const u64 threads = static_cast<u64>(block.x) * block.y * block.z;
  if (kernel.function->cluster_blocks > 1)
    return refuse(cudaErrorNotSupported, "unsupported: thread block clusters (__cluster_dims__)");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0)
    return refuse(cudaErrorInvalidConfiguration, "a dimension is 0");
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > static_cast<u64>(device.threads_per_block))
    return refuse(cudaErrorInvalidConfiguration,
                  fmt::format("{} threads a block, at most 1024 (and 64 in z) fit", threads));
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
    return refuse(cudaErrorInvalidConfiguration, "too many blocks in y or z: at most 65535 fit");
  if (threads > program.max_threads)
    return refuse(cudaErrorInvalidValue,
                  fmt::format("{} threads a block, the kernel was compiled for {} (__launch_bounds__)", threads,
                              program.max_threads));
  if (program.required_threads && threads != program.required_threads)
    return refuse(cudaErrorInvalidConfiguration,
                  fmt::format("the kernel requires {} threads a block", program.required_threads));
  const u64 limit =
      static_cast<u64>(kernel.max_dynamic_shared >= 0
                           ? std::max(kernel.max_dynamic_shared + static_cast<int>(program.static_shared), 48 * 1024)
                           : 48 * 1024);
  if (program.static_shared + shared > limit)
    return refuse(
        cudaErrorInvalidValue,
        fmt::format("{} static and {} dynamic bytes of shared memory, the limit is {}{}", program.static_shared, shared,
                    limit, kernel.max_dynamic_shared >= 0 ? "" : " (cudaFuncSetAttribute was not called)"));
  if (cooperative) {
    const u64 most = static_cast<u64>(blocks_per_multiprocessor(kernel, static_cast<int>(threads), shared)) *
                     static_cast<u64>(device.multiprocessors);
    if (static_cast<u64>(grid.x) * grid.y * grid.z > most)
      return refuse(cudaErrorCooperativeLaunchTooLarge, fmt::format("a cooperative grid of more than {} blocks", most));
  }
  return cudaSuccess;
}

cudaError_t launch_kernel(Kernel& kernel, dim3 grid, dim3 block, size_t shared, const std::vector<u8>& parameters,
                          bool cooperative) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  if (const cudaError_t sticky = sticky_error()) return sticky;
  if (const cudaError_t error = validate_launch(kernel, grid, block, shared, cooperative)) return set_error(error);
  return run_kernel(kernel, grid, block, shared, parameters, cooperative);
}

cudaError_t run_kernel(Kernel& kernel, dim3 grid, dim3 block, size_t shared, const std::vector<u8>& parameters,
                       bool cooperative) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  if (const cudaError_t sticky = sticky_error()) return sticky;
  const Program& program = kernel.module->program(kernel);
  Launch launch;
  launch.program = &program;
  launch.grid[0] = grid.x, launch.grid[1] = grid.y, launch.grid[2] = grid.z;
  launch.block[0] = block.x, launch.block[1] = block.y, launch.block[2] = block.z;
  launch.threads = block.x * block.y * block.z;
  launch.warps = (launch.threads + kLanes - 1) / kLanes;
  launch.blocks = static_cast<u64>(grid.x) * grid.y * grid.z;
  launch.dynamic_shared = static_cast<u32>(shared);
  launch.shared_bytes = program.reserved_shared + program.static_shared + static_cast<u32>(shared);
  launch.multiprocessors = static_cast<u32>(this_device().multiprocessors);
  if (program.recursive) launch.stack_bytes = static_cast<u32>(state.limits[cudaLimitStackSize]);
  launch.parameters = parameters;
  launch.cooperative = cooperative;
  launch.number = ++state.launches;
  if (cooperative) {
    // Cooperative groups keep their grid barrier here; its first word is the workspace's size.
    static const u64 workspace = [] {
      Allocation* made = Memory::instance().allocate(256, MemoryKind::module);
      std::memset(reinterpret_cast<void*>(made->begin + static_cast<u64>(made->delta)), 0, 256);
      return made->begin;
    }();
    launch.workspace = workspace;
  }
  const int error = run_launch(launch);
  if (error) state.sticky = error;
  return cudaSuccess;  // as on a real device: the error appears at the next synchronisation
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

namespace {

thread_local std::vector<LaunchConfig> configs;

cudaError_t launch(Kernel* kernel, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t stream,
                   bool cooperative) {
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  auto parameters = pack_parameters(*kernel, args);
  if (const cudaError_t sticky = sticky_error()) return set_error(sticky);
  if (const cudaError_t error = validate_launch(*kernel, grid, block, shared, cooperative)) return set_error(error);
  return set_error(enqueue(
      stream, NodeType::kernel, [=] { return run_kernel(*kernel, grid, block, shared, parameters, cooperative); },
      [&](CUgraphNode_st& node) {
        node.kernel.func = kernel;
        node.kernel.gridDim = grid;
        node.kernel.blockDim = block;
        node.kernel.sharedMemBytes = static_cast<unsigned>(shared);
        node.parameters = parameters;
        node.cooperative = cooperative;
      }));
}

}  // namespace

void CUgraphNode_st::set_kernel(const cudaKernelNodeParams& params) {
  Kernel* target = find_kernel(params.func);
  kernel = params;
  kernel.func = target;
  parameters = pack_parameters(*target, params.kernelParams);
  kernel.kernelParams = nullptr;
  const auto grid = params.gridDim, block = params.blockDim;
  const size_t shared = params.sharedMemBytes;
  run = [target, grid, block, shared, bytes = parameters, together = cooperative] {
    return launch_kernel(*target, grid, block, shared, bytes, together);
  };
}

#pragma GCC visibility push(default)
extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st* stream) {
  configs.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configs.empty()) return set_error(cudaErrorMissingConfiguration);
  *grid = configs.back().grid;
  *block = configs.back().block;
  *shared = configs.back().shared;
  *static_cast<cudaStream_t*>(stream) = configs.back().stream;
  configs.pop_back();
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, size_t shared,
                               cudaStream_t stream) {
  return launch(find_kernel(kernel), grid, block, args, shared, stream, false);
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared,
                             cudaStream_t stream) {
  return launch(find_kernel(function), grid, block, args, shared, stream, false);
}
cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared,
                                        cudaStream_t stream) {
  return launch(find_kernel(function), grid, block, args, shared, stream, true);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** args) {
  bool cooperative = false;
  for (unsigned k = 0; k < config->numAttrs; ++k) {
    const auto& attribute = config->attrs[k];
    if (attribute.id == cudaLaunchAttributeCooperative) cooperative |= attribute.val.cooperative != 0;
    if (attribute.id == cudaLaunchAttributeClusterDimension &&
        attribute.val.clusterDim.x * attribute.val.clusterDim.y * attribute.val.clusterDim.z > 1) {
      report("unsupported: thread block clusters");
      return set_error(cudaErrorNotSupported);
    }
  }
  return launch(find_kernel(function), config->gridDim, config->blockDim, args, config->dynamicSmemBytes,
                config->stream, cooperative);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return set_error(enqueue(
      stream, NodeType::host,
      [=] {
        function(data);
        return cudaSuccess;
      },
      [&](CUgraphNode_st& node) {
        node.host = {function, data};
      }));
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned) {
  if (stream_of(stream)->capture) return set_error(cudaErrorStreamCaptureUnsupported);
  return set_error(enqueue(stream, NodeType::host, [=] {
    callback(stream, sticky_error(), data);
    return cudaSuccess;
  }));
}

}  // extern "C"
#pragma GCC visibility pop
