// The runtime's own state: modules, kernels, streams, graphs, errors.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/memory.h"
#include "exec/machine.h"
#include "ptx/module.h"
#include "runtime/schedule.h"

namespace tweedie::vgpu {

class LoadedModule;

struct Kernel {
  std::string name;
  LoadedModule* module = nullptr;
  const ptx::Function* function = nullptr;  // once the module is parsed
  std::unique_ptr<Program> program;         // once decoded
  int max_dynamic_shared = -1;              // set by cudaFuncSetAttribute; -1 for the default
  int carveout = -1;
};

// One fat binary. Its text is parsed, and its variables get memory, on the first use of anything in it.
class LoadedModule {
 public:
  explicit LoadedModule(const void* fat_binary);
  LoadedModule(std::string text);
  const ptx::Module& parsed();
  Kernel* kernel(const std::string& name);        // null when the module has none of that name
  Program& program(Kernel& kernel);               // decoded on first use
  Allocation* variable(const std::string& name);  // null for none
  std::vector<std::string> kernel_names();
  const std::string& problem() const { return problem_; }
  int needs() const { return needs_; }  // the oldest architecture that it has PTX for

 private:
  void load();
  void load_variables();
  static void mutate(ptx::Function& kernel);
  const void* fat_binary_ = nullptr;
  int needs_ = 0;
  std::string text_, problem_;
  std::unique_ptr<ptx::Module> module_;
  std::map<std::string, Allocation*> variables_;
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

struct HostVariable {
  LoadedModule* module = nullptr;
  std::string name;
  u64 size = 0;
  bool managed = false;
};

struct LaunchConfig {
  dim3 grid, block;
  size_t shared = 0;
  cudaStream_t stream = nullptr;
};

struct State {
  static State& instance();
  std::recursive_mutex mutex;
  std::vector<std::unique_ptr<LoadedModule>> modules;
  std::map<const void*, Kernel*> kernels;  // by host function
  std::map<const void*, HostVariable> variables;
  std::set<const Kernel*> known_kernels;
  int sticky = 0;  // an error that only a new process clears
  u32 launches = 0;
  std::map<int, u64> limits = {
      {cudaLimitStackSize, 1024}, {cudaLimitPrintfFifoSize, 1 << 20}, {cudaLimitMallocHeapSize, 8 << 20}};
};

// Errors: remembers the last one of this thread and gives it back.
cudaError_t set_error(cudaError_t error);
inline cudaError_t set_error(int error) {
  return set_error(static_cast<cudaError_t>(error));
}
cudaError_t sticky_error();

Kernel* find_kernel(const void* host_function_or_handle);
// Copies the arguments that `args` points at, as the kernel declares them.
std::vector<u8> pack_parameters(const Kernel& kernel, void* const* args);
cudaError_t launch_kernel(Kernel& kernel, dim3 grid, dim3 block, size_t shared, const std::vector<u8>& parameters,
                          bool cooperative);
// The same of a launch that was validated.
cudaError_t run_kernel(Kernel& kernel, dim3 grid, dim3 block, size_t shared, const std::vector<u8>& parameters,
                       bool cooperative);
cudaError_t validate_launch(Kernel& kernel, dim3 grid, dim3 block, size_t shared, bool cooperative);
int blocks_per_multiprocessor(Kernel& kernel, int threads, size_t shared);

// Memory operations without a stream.
cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t copy_3d(const cudaMemcpy3DParms& copy);
cudaError_t fill(void* to, int value, size_t bytes, unsigned element);
cudaError_t fill_2d(void* to, size_t pitch, int value, size_t width, size_t height, unsigned element);
// The host address of a range that an API call names; null after a report. A plain host pointer is its own address.
u8* range_of(const char* call, const void* pointer, size_t bytes);

enum class NodeType { kernel, copy, fill, host, empty, event_record, event_wait, child, alloc, release };

}  // namespace tweedie::vgpu

// The opaque handles of the runtime.
struct CUevent_st {
  bool timing = true;
  std::shared_ptr<tweedie::vgpu::Operation> record;  // the last that was issued
  struct CUgraph_st* captured = nullptr;
  std::vector<struct CUgraphNode_st*> after;
};
struct CUstream_st {
  unsigned flags = 0;
  int priority = 0;
  unsigned long long id = 0;
  std::shared_ptr<tweedie::vgpu::Queue> queue;
  struct CUgraph_st* capture = nullptr;
  std::vector<struct CUgraphNode_st*> tail;  // nodes that the next captured one depends on
  bool capture_origin = false;
  unsigned long long capture_id = 0;
  std::map<cudaStreamAttrID, cudaStreamAttrValue> attributes;  // kept for whoever asks; without effect
};
struct CUgraphNode_st {
  tweedie::vgpu::NodeType type = tweedie::vgpu::NodeType::empty;
  std::function<cudaError_t()> run;
  std::vector<CUgraphNode_st*> dependencies;
  CUgraph_st* graph = nullptr;
  bool enabled = true;
  cudaKernelNodeParams kernel{};
  std::vector<tweedie::vgpu::u8> parameters;
  std::vector<void*> arguments;  // the places of `parameters`, for whoever asks
  std::map<cudaKernelNodeAttrID, cudaKernelNodeAttrValue> attributes;
  cudaHostNodeParams host{};
  cudaMemsetParams memset{};
  cudaMemcpy3DParms copy3d{};
  cudaMemAllocNodeParams memory{};
  cudaEvent_t event = nullptr;
  std::shared_ptr<CUgraph_st> child;
  bool cooperative = false;
  void set_kernel(const cudaKernelNodeParams& params);
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::map<CUgraphNode_st*, CUgraphNode_st*> from_source;  // of a clone
};
struct CUgraphExec_st {
  unsigned long long flags = 0;
  std::unique_ptr<CUgraph_st> graph;                       // a copy
  std::map<CUgraphNode_st*, CUgraphNode_st*> from_source;  // source node to the copy's
  std::shared_ptr<tweedie::vgpu::Operation> last_launch;   // the next one comes after it, whatever its stream
};

namespace tweedie::vgpu {

CUstream_st* stream_of(cudaStream_t stream);
// Runs the operation now, adds it to what the stream holds, or to the graph that the stream captures.
cudaError_t enqueue(cudaStream_t stream, NodeType type, std::function<cudaError_t()> run,
                    const std::function<void(CUgraphNode_st&)>& describe = {});
// Runs what the stream holds; the device's error, if there is one.
cudaError_t wait_for_stream(cudaStream_t stream);
cudaError_t wait_for_device();
// Runs the nodes in an order that their dependencies allow.
cudaError_t run_graph(CUgraph_st& graph);
// Adds the graph as it is now to what the stream holds.
cudaError_t launch_later(CUgraphExec_st& exec, CUstream_st& stream);
std::unique_ptr<CUgraph_st> clone_graph(const CUgraph_st& graph, std::map<CUgraphNode_st*, CUgraphNode_st*>& map);
// An event that a graph's node records.
cudaError_t record_now(cudaEvent_t event);
// An operation that may not happen while any stream captures (cudaMalloc is fine; synchronisation is not).
cudaError_t refuse_while_capturing(cudaStream_t stream);

}  // namespace tweedie::vgpu
