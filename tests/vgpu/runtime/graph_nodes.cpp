// Nodes of graphs: what each kind does when it runs.
#include <algorithm>
#include <array>

#include "exec/report.h"
#include "runtime/graph.h"

namespace tweedie::vgpu {
namespace {

constexpr std::array<std::pair<NodeType, cudaGraphNodeType>, 10> kTypes = {{
    {NodeType::kernel, cudaGraphNodeTypeKernel},
    {NodeType::copy, cudaGraphNodeTypeMemcpy},
    {NodeType::fill, cudaGraphNodeTypeMemset},
    {NodeType::host, cudaGraphNodeTypeHost},
    {NodeType::child, cudaGraphNodeTypeGraph},
    {NodeType::empty, cudaGraphNodeTypeEmpty},
    {NodeType::event_wait, cudaGraphNodeTypeWaitEvent},
    {NodeType::event_record, cudaGraphNodeTypeEventRecord},
    {NodeType::alloc, cudaGraphNodeTypeMemAlloc},
    {NodeType::release, cudaGraphNodeTypeMemFree},
}};

cudaError_t place_in_symbol(const void* symbol, size_t bytes, size_t offset, char*& place) {
  void* base = nullptr;
  size_t size = 0;
  if (const cudaError_t error = cudaGetSymbolAddress(&base, symbol)) return error;
  if (const cudaError_t error = cudaGetSymbolSize(&size, symbol)) return error;
  if (offset > size || bytes > size - offset) return cudaErrorInvalidValue;
  place = static_cast<char*>(base) + offset;
  return cudaSuccess;
}

}  // namespace

CUgraphNode_st* add_node(CUgraph_st* graph, NodeType type, const cudaGraphNode_t* dependencies, size_t count) {
  if (!graph || (count && !dependencies)) return nullptr;
  for (size_t k = 0; k < count; ++k)
    if (!dependencies[k] || dependencies[k]->graph != graph) return nullptr;
  auto node = std::make_unique<CUgraphNode_st>();
  node->type = type;
  node->graph = graph;
  node->dependencies.assign(dependencies, dependencies + count);
  graph->nodes.push_back(std::move(node));
  return graph->nodes.back().get();
}

CUgraphNode_st* in_exec(cudaGraphExec_t exec, cudaGraphNode_t node) {
  if (!exec) return nullptr;
  const auto found = exec->from_source.find(node);
  return found == exec->from_source.end() ? nullptr : found->second;
}

cudaGraphNodeType public_type(NodeType type) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& pair) { return pair.first == type; });
  return found->second;
}

bool has_cycle(const CUgraph_st& graph) {
  std::set<const CUgraphNode_st*> done;
  for (bool more = true; more;) {
    more = false;
    for (const auto& node : graph.nodes) {
      if (done.count(node.get())) continue;
      const auto& before = node->dependencies;
      if (!std::all_of(before.begin(), before.end(), [&](auto* d) { return done.count(d) > 0; })) continue;
      done.insert(node.get());
      more = true;
    }
  }
  return done.size() < graph.nodes.size();
}

cudaError_t set_kernel(CUgraphNode_st& node, const cudaKernelNodeParams& params) {
  const Kernel* kernel = find_kernel(params.func);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  if (params.extra) {
    report("unsupported: arguments of a kernel node as one buffer (`extra`)");
    return cudaErrorNotSupported;
  }
  if (!params.kernelParams && !kernel->function->parameters.empty()) return cudaErrorInvalidValue;
  node.set_kernel(params);
  return cudaSuccess;
}
cudaError_t set_memset(CUgraphNode_st& node, const cudaMemsetParams& p) {
  if (p.elementSize != 1 && p.elementSize != 2 && p.elementSize != 4) return cudaErrorInvalidValue;
  node.memset = p;
  node.run = [p] {
    return p.height <= 1 ? fill(p.dst, static_cast<int>(p.value), p.width * p.elementSize, p.elementSize)
                         : fill_2d(p.dst, p.pitch, static_cast<int>(p.value), p.width, p.height, p.elementSize);
  };
  return cudaSuccess;
}
cudaError_t set_host(CUgraphNode_st& node, const cudaHostNodeParams& p) {
  if (!p.fn) return cudaErrorInvalidValue;
  node.host = p;
  node.run = [p] {
    p.fn(p.userData);
    return cudaSuccess;
  };
  return cudaSuccess;
}
cudaError_t set_copy(CUgraphNode_st& node, const cudaMemcpy3DParms& p) {
  if (p.srcArray || p.dstArray) {
    report("unsupported: a graph's copies of arrays");
    return cudaErrorNotSupported;
  }
  node.copy3d = p;
  node.run = [p] { return copy_3d(p); };
  return cudaSuccess;
}
cudaError_t set_event(CUgraphNode_st& node, cudaEvent_t event) {
  if (!event) return cudaErrorInvalidResourceHandle;
  node.event = event;
  if (node.type == NodeType::event_record) node.run = [event] { return record_now(event); };
  return cudaSuccess;
}
cudaError_t set_child(CUgraphNode_st& node, cudaGraph_t child) {
  if (!child) return cudaErrorInvalidValue;
  std::map<CUgraphNode_st*, CUgraphNode_st*> map;
  node.child = clone_graph(*child, map);
  return cudaSuccess;
}
// The memory has its address from the start and is the graph's for as long as the program runs: a node that frees it
// leaves it for the next launch.
cudaError_t set_alloc(CUgraphNode_st& node, cudaMemAllocNodeParams& params) {
  if (node.memory.dptr) return cudaErrorInvalidValue;  // its parameters cannot change
  if (const cudaError_t error = cudaMalloc(&params.dptr, params.bytesize)) return error;
  node.memory = params;
  return cudaSuccess;
}
cudaError_t set_free(CUgraphNode_st& node, void* pointer) {
  if (!pointer || node.memory.dptr) return cudaErrorInvalidValue;
  node.memory.dptr = pointer;
  return cudaSuccess;
}

cudaError_t set_params(CUgraphNode_st& node, cudaGraphNodeParams& p) {
  if (p.type != public_type(node.type)) return cudaErrorInvalidValue;
  switch (node.type) {
    case NodeType::kernel: {
      const auto& k = p.kernel;
      return set_kernel(node, {k.func, k.gridDim, k.blockDim, k.sharedMemBytes, k.kernelParams, k.extra});
    }
    case NodeType::copy:
      return set_copy(node, p.memcpy.copyParams);
    case NodeType::fill:
      return set_memset(
          node, {p.memset.dst, p.memset.pitch, p.memset.value, p.memset.elementSize, p.memset.width, p.memset.height});
    case NodeType::host:
      return set_host(node, {p.host.fn, p.host.userData});
    case NodeType::child:
      return set_child(node, p.graph.graph);
    case NodeType::event_record:
      return set_event(node, p.eventRecord.event);
    case NodeType::event_wait:
      return set_event(node, p.eventWait.event);
    case NodeType::alloc: {
      cudaMemAllocNodeParams memory = {p.alloc.poolProps, p.alloc.accessDescs, p.alloc.accessDescCount,
                                       p.alloc.bytesize, nullptr};
      const cudaError_t error = set_alloc(node, memory);
      p.alloc.dptr = memory.dptr;
      return error;
    }
    case NodeType::release:
      return set_free(node, p.free.dptr);
    case NodeType::empty:
      break;
  }
  return cudaSuccess;
}

cudaMemcpy3DParms line(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  cudaMemcpy3DParms p = {};
  p.srcPtr = {const_cast<void*>(from), bytes, bytes, 1};
  p.dstPtr = {to, bytes, bytes, 1};
  p.extent = {bytes, 1, 1};
  p.kind = kind;
  return p;
}
cudaError_t line_to_symbol(cudaMemcpy3DParms& line_out, const void* symbol, const void* from, size_t bytes,
                           size_t offset, cudaMemcpyKind kind) {
  char* place = nullptr;
  if (const cudaError_t error = place_in_symbol(symbol, bytes, offset, place)) return error;
  line_out = line(place, from, bytes, kind);
  return cudaSuccess;
}
cudaError_t line_from_symbol(cudaMemcpy3DParms& line_out, void* to, const void* symbol, size_t bytes, size_t offset,
                             cudaMemcpyKind kind) {
  char* place = nullptr;
  if (const cudaError_t error = place_in_symbol(symbol, bytes, offset, place)) return error;
  line_out = line(to, place, bytes, kind);
  return cudaSuccess;
}

std::unique_ptr<CUgraph_st> clone_graph(const CUgraph_st& graph, std::map<CUgraphNode_st*, CUgraphNode_st*>& map) {
  auto made = std::make_unique<CUgraph_st>();
  for (const auto& node : graph.nodes) {
    auto copy_of = std::make_unique<CUgraphNode_st>(*node);
    copy_of->graph = made.get();
    if (node->child) copy_of->child = clone_graph(*node->child, map);
    map[node.get()] = copy_of.get();
    made->nodes.push_back(std::move(copy_of));
  }
  for (auto& node : made->nodes)
    for (auto*& dependency : node->dependencies) dependency = map.at(dependency);
  return made;
}

}  // namespace tweedie::vgpu
