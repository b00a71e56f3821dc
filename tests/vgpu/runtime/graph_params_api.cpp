// Graphs: what single nodes do, asked and changed, in a graph or in an executable made of it.
#include "exec/report.h"
#include "runtime/graph.h"

using namespace tweedie::vgpu;

namespace {

// Changes a node, of a graph or of an executable, where it is of the right kind.
template <class Set>
cudaError_t change(CUgraphNode_st* node, NodeType type, Set set) {
  return set_error(node && node->type == type ? set(*node) : cudaErrorInvalidValue);
}
template <class T, class Get>
cudaError_t ask(cudaGraphNode_t node, NodeType type, T* value, Get get) {
  if (!node || node->type != type) return set_error(cudaErrorInvalidValue);
  *value = get(*node);
  return cudaSuccess;
}

cudaError_t set_to_symbol(CUgraphNode_st& node, const void* symbol, const void* from, size_t bytes, size_t offset,
                          cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  const cudaError_t error = line_to_symbol(params, symbol, from, bytes, offset, kind);
  return error ? error : set_copy(node, params);
}
cudaError_t set_from_symbol(CUgraphNode_st& node, void* to, const void* symbol, size_t bytes, size_t offset,
                            cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  const cudaError_t error = line_from_symbol(params, to, symbol, bytes, offset, kind);
  return error ? error : set_copy(node, params);
}
// The parameters with the arguments' places, which are the node's own.
cudaKernelNodeParams kernel_params(CUgraphNode_st& node) {
  cudaKernelNodeParams params = node.kernel;
  auto* kernel = static_cast<Kernel*>(params.func);
  for (const auto& [function, known] : State::instance().kernels)
    if (known == kernel) params.func = const_cast<void*>(function);
  node.arguments.clear();
  for (const auto& parameter : kernel->function->parameters)
    node.arguments.push_back(node.parameters.data() + parameter.offset);
  params.kernelParams = node.arguments.data();
  return params;
}
cudaError_t set_attribute(CUgraphNode_st& node, cudaKernelNodeAttrID attribute, const cudaKernelNodeAttrValue& value) {
  node.attributes[attribute] = value;
  if (attribute != cudaLaunchAttributeCooperative) return cudaSuccess;
  node.cooperative = value.cooperative != 0;
  return set_kernel(node, kernel_params(node));
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* params) {
  return set_error(node ? set_params(*node, *params) : cudaErrorInvalidValue);
}
cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeParams* params) {
  return cudaGraphNodeSetParams(in_exec(exec, node), params);
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* params) {
  return ask(node, NodeType::kernel, params, kernel_params);
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* params) {
  return change(node, NodeType::kernel, [&](auto& n) { return set_kernel(n, *params); });
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  return cudaGraphKernelNodeSetParams(in_exec(exec, node), params);
}
cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t node, cudaKernelNodeAttrID attribute,
                                            cudaKernelNodeAttrValue* value) {
  return ask(node, NodeType::kernel, value, [&](auto& n) {
    cudaKernelNodeAttrValue cooperative = {};
    cooperative.cooperative = n.cooperative;
    if (attribute == cudaLaunchAttributeCooperative) return cooperative;
    const auto found = n.attributes.find(attribute);
    return found == n.attributes.end() ? cudaKernelNodeAttrValue{} : found->second;
  });
}
cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t node, cudaKernelNodeAttrID attribute,
                                            const cudaKernelNodeAttrValue* value) {
  return change(node, NodeType::kernel, [&](auto& n) { return set_attribute(n, attribute, *value); });
}
cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t to, cudaGraphNode_t from) {
  if (!from || from->type != NodeType::kernel) return set_error(cudaErrorInvalidValue);
  cudaKernelNodeAttrValue cooperative = {};
  cooperative.cooperative = from->cooperative;
  return change(to, NodeType::kernel, [&](auto& n) {
    n.attributes = from->attributes;
    return set_attribute(n, cudaLaunchAttributeCooperative, cooperative);
  });
}

cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* params) {
  if (node && node->type == NodeType::copy && node->copy3d.extent.width == 0) {
    report("unsupported: the parameters of a copy that was captured");
    return set_error(cudaErrorNotSupported);
  }
  return ask(node, NodeType::copy, params, [](auto& n) { return n.copy3d; });
}
cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  return change(node, NodeType::copy, [&](auto& n) { return set_copy(n, *params); });
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, size_t bytes,
                                           cudaMemcpyKind kind) {
  return change(node, NodeType::copy, [&](auto& n) { return set_copy(n, line(to, from, bytes, kind)); });
}
cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* from,
                                                 size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return change(node, NodeType::copy, [&](auto& n) { return set_to_symbol(n, symbol, from, bytes, offset, kind); });
}
cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* to, const void* symbol, size_t bytes,
                                                   size_t offset, cudaMemcpyKind kind) {
  return change(node, NodeType::copy, [&](auto& n) { return set_from_symbol(n, to, symbol, bytes, offset, kind); });
}
cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* params) {
  return cudaGraphMemcpyNodeSetParams(in_exec(exec, node), params);
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from,
                                               size_t bytes, cudaMemcpyKind kind) {
  return cudaGraphMemcpyNodeSetParams1D(in_exec(exec, node), to, from, bytes, kind);
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, const void* symbol,
                                                     const void* from, size_t bytes, size_t offset,
                                                     cudaMemcpyKind kind) {
  return cudaGraphMemcpyNodeSetParamsToSymbol(in_exec(exec, node), symbol, from, bytes, offset, kind);
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* to,
                                                       const void* symbol, size_t bytes, size_t offset,
                                                       cudaMemcpyKind kind) {
  return cudaGraphMemcpyNodeSetParamsFromSymbol(in_exec(exec, node), to, symbol, bytes, offset, kind);
}

cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* params) {
  if (node && node->type == NodeType::fill && node->memset.width == 0) {
    report("unsupported: the parameters of a fill of rows that was captured");
    return set_error(cudaErrorNotSupported);
  }
  return ask(node, NodeType::fill, params, [](auto& n) { return n.memset; });
}
cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* params) {
  return change(node, NodeType::fill, [&](auto& n) { return set_memset(n, *params); });
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* params) {
  return cudaGraphMemsetNodeSetParams(in_exec(exec, node), params);
}

cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* params) {
  return ask(node, NodeType::host, params, [](auto& n) { return n.host; });
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* params) {
  return change(node, NodeType::host, [&](auto& n) { return set_host(n, *params); });
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* params) {
  return cudaGraphHostNodeSetParams(in_exec(exec, node), params);
}

cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return ask(node, NodeType::event_record, event, [](auto& n) { return n.event; });
}
cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, NodeType::event_record, [&](auto& n) { return set_event(n, event); });
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  return cudaGraphEventRecordNodeSetEvent(in_exec(exec, node), event);
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return ask(node, NodeType::event_wait, event, [](auto& n) { return n.event; });
}
cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, NodeType::event_wait, [&](auto& n) { return set_event(n, event); });
}
cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node, cudaEvent_t event) {
  return cudaGraphEventWaitNodeSetEvent(in_exec(exec, node), event);
}

cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  return ask(node, NodeType::child, graph, [](auto& n) { return n.child.get(); });
}
cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, cudaMemAllocNodeParams* params) {
  return ask(node, NodeType::alloc, params, [](auto& n) { return n.memory; });
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void* pointer) {
  return ask(node, NodeType::release, static_cast<void**>(pointer), [](auto& n) { return n.memory.dptr; });
}
cudaError_t cudaDeviceGraphMemTrim(int) {
  return cudaSuccess;
}

cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  mine->enabled = enabled != 0;
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned* enabled) {
  const CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine) return set_error(cudaErrorInvalidValue);
  *enabled = mine->enabled ? 1 : 0;
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
