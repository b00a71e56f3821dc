// Graphs: their nodes, executables and launches.
#include <algorithm>
#include <cstring>

#include "core/settings.h"
#include "exec/report.h"
#include "runtime/state.h"

namespace tweedie::vgpu {
namespace {

CUgraphNode_st* add_node(CUgraph_st* graph, NodeType type, const cudaGraphNode_t* dependencies, size_t count) {
  auto node = std::make_unique<CUgraphNode_st>();
  node->type = type;
  node->graph = graph;
  node->dependencies.assign(dependencies, dependencies + count);
  graph->nodes.push_back(std::move(node));
  return graph->nodes.back().get();
}
void set_memset(CUgraphNode_st& node, const cudaMemsetParams& p) {
  node.memset = p;
  node.run = [p] {
    return p.height <= 1 ? fill(p.dst, static_cast<int>(p.value), p.width * p.elementSize, p.elementSize)
                         : fill_2d(p.dst, p.pitch, static_cast<int>(p.value), p.width, p.height, p.elementSize);
  };
}
void set_host(CUgraphNode_st& node, const cudaHostNodeParams& p) {
  node.host = p;
  node.run = [p] {
    p.fn(p.userData);
    return cudaSuccess;
  };
}
void set_copy_1d(CUgraphNode_st& node, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  node.run = [=] { return copy(to, from, bytes, kind); };
}
void set_copy_3d(CUgraphNode_st& node, const cudaMemcpy3DParms& p) {
  node.copy3d = p;
  node.run = [p] { return copy_3d(p); };
}
cudaGraphNodeType public_type(NodeType type) {
  switch (type) {
    case NodeType::kernel:
      return cudaGraphNodeTypeKernel;
    case NodeType::copy:
      return cudaGraphNodeTypeMemcpy;
    case NodeType::fill:
      return cudaGraphNodeTypeMemset;
    case NodeType::host:
      return cudaGraphNodeTypeHost;
    case NodeType::child:
      return cudaGraphNodeTypeGraph;
    case NodeType::event_record:
      return cudaGraphNodeTypeEventRecord;
    case NodeType::event_wait:
      return cudaGraphNodeTypeWaitEvent;
    default:
      return cudaGraphNodeTypeEmpty;
  }
}

// The executable's node that was made from a node of the source graph.
CUgraphNode_st* in_exec(cudaGraphExec_t exec, cudaGraphNode_t node) {
  const auto found = exec->from_source.find(node);
  return found == exec->from_source.end() ? nullptr : found->second;
}

}  // namespace

std::unique_ptr<CUgraph_st> clone_graph(const CUgraph_st& graph, std::map<CUgraphNode_st*, CUgraphNode_st*>& map) {
  auto made = std::make_unique<CUgraph_st>();
  for (const auto& node : graph.nodes) {
    auto copy_of = std::make_unique<CUgraphNode_st>(*node);
    copy_of->graph = made.get();
    if (node->child) copy_of->child = clone_graph(*node->child, map).release();
    map[node.get()] = copy_of.get();
    made->nodes.push_back(std::move(copy_of));
  }
  for (auto& node : made->nodes)
    for (auto*& dependency : node->dependencies) dependency = map.at(dependency);
  return made;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  std::map<CUgraphNode_st*, CUgraphNode_st*> map;
  *clone = clone_graph(*graph, map).release();
  return cudaSuccess;
}
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaKernelNodeParams* params) {
  if (!find_kernel(params->func)) return set_error(cudaErrorInvalidDeviceFunction);
  *node = add_node(graph, NodeType::kernel, dependencies, count);
  (*node)->set_kernel(*params);
  return cudaSuccess;
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  *node = add_node(graph, NodeType::fill, dependencies, count);
  set_memset(**node, *params);
  return cudaSuccess;
}
cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemcpy3DParms* params) {
  *node = add_node(graph, NodeType::copy, dependencies, count);
  set_copy_3d(**node, *params);
  return cudaSuccess;
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  *node = add_node(graph, NodeType::copy, dependencies, count);
  set_copy_1d(**node, to, from, bytes, kind);
  return cudaSuccess;
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  *node = add_node(graph, NodeType::host, dependencies, count);
  set_host(**node, *params);
  return cudaSuccess;
}
cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  size_t count) {
  *node = add_node(graph, NodeType::empty, dependencies, count);
  return cudaSuccess;
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       size_t count, cudaGraph_t child) {
  *node = add_node(graph, NodeType::child, dependencies, count);
  std::map<CUgraphNode_st*, CUgraphNode_st*> map;
  (*node)->child = clone_graph(*child, map).release();
  return cudaSuccess;
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData*, size_t count) {
  for (size_t k = 0; k < count; ++k) to[k]->dependencies.push_back(from[k]);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes)
    for (size_t k = 0; k < std::min(*count, graph->nodes.size()); ++k) nodes[k] = graph->nodes[k].get();
  *count = nodes ? std::min(*count, graph->nodes.size()) : graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  size_t found = 0;
  for (auto& node : graph->nodes) {
    if (!node->dependencies.empty()) continue;
    if (nodes && found < *count) nodes[found] = node.get();
    ++found;
  }
  *count = nodes ? std::min(found, *count) : found;
  return cudaSuccess;
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData*,
                              size_t* count) {
  size_t found = 0;
  for (auto& node : graph->nodes)
    for (auto* dependency : node->dependencies) {
      if (from && to && found < *count) from[found] = dependency, to[found] = node.get();
      ++found;
    }
  *count = from ? std::min(found, *count) : found;
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = public_type(node->type);
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* params) {
  if (node->type != NodeType::kernel) return set_error(cudaErrorInvalidValue);
  *params = node->kernel;
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* params) {
  node->set_kernel(*params);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  auto made = std::make_unique<CUgraphExec_st>();
  made->graph = clone_graph(*graph, made->from_source);
  *exec = made.release();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* params) {
  params->result_out = cudaGraphInstantiateSuccess;
  return cudaGraphInstantiateWithFlags(exec, graph, params->flags);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (stream_of(stream)->capture) {
    std::map<CUgraphNode_st*, CUgraphNode_st*> map;
    std::shared_ptr<CUgraph_st> child = clone_graph(*exec->graph, map);
    return enqueue(stream, NodeType::empty, [child] { return run_graph(*child); });
  }
  return set_error(deferred() ? launch_later(*exec, *stream_of(stream)) : run_graph(*exec->graph));
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* result) {
  bool same = exec->graph->nodes.size() == graph->nodes.size();
  for (size_t k = 0; same && k < graph->nodes.size(); ++k) {
    const auto& a = *exec->graph->nodes[k];
    const auto& b = *graph->nodes[k];
    same = a.type == b.type && a.dependencies.size() == b.dependencies.size() && a.kernel.func == b.kernel.func;
  }
  if (result) {
    std::memset(result, 0, sizeof *result);
    result->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
  }
  if (!same) return set_error(cudaErrorGraphExecUpdateFailure);
  exec->from_source.clear();
  exec->graph = clone_graph(*graph, exec->from_source);
  return cudaSuccess;
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine || mine->type != NodeType::kernel) return set_error(cudaErrorInvalidValue);
  mine->set_kernel(*params);
  return cudaSuccess;
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* params) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  set_memset(*mine, *params);
  return cudaSuccess;
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from,
                                               size_t bytes, cudaMemcpyKind kind) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  set_copy_1d(*mine, to, from, bytes, kind);
  return cudaSuccess;
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* params) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  set_host(*mine, *params);
  return cudaSuccess;
}
cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  mine->enabled = enabled != 0;
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
