// The order of a graph's nodes, and launches of graphs that streams hold until they must run.
#include <algorithm>

#include "core/settings.h"
#include "runtime/state.h"

namespace tweedie::vgpu {
namespace {

// Which of the ready nodes, numbered as they were added, is next: the first; or, where streams run late or at random,
// the last or any, so that a missing dependency shows.
std::size_t pick(std::vector<std::size_t>& ready) {
  auto at = ready.end() - 1;
  switch (settings().streams) {
    case Streams::issue:
      at = std::min_element(ready.begin(), ready.end());
      break;
    case Streams::late:
      at = std::max_element(ready.begin(), ready.end());
      break;
    case Streams::random:
      at = ready.begin() + static_cast<std::ptrdiff_t>(Schedule::instance().drawn(ready.size()));
  }
  const std::size_t picked = *at;
  ready.erase(at);
  return picked;
}

}  // namespace

cudaError_t run_graph(CUgraph_st& graph) {
  std::map<const CUgraphNode_st*, std::size_t> number;
  for (const auto& node : graph.nodes) number.emplace(node.get(), number.size());
  std::vector<std::vector<std::size_t>> followers(graph.nodes.size());
  std::vector<std::size_t> missing(graph.nodes.size()), ready;
  for (std::size_t k = 0; k < graph.nodes.size(); ++k) {
    missing[k] = graph.nodes[k]->dependencies.size();
    for (const auto* before : graph.nodes[k]->dependencies) followers[number.at(before)].push_back(k);
    if (missing[k] == 0) ready.push_back(k);
  }
  std::size_t done = 0;
  for (; !ready.empty(); ++done) {
    const std::size_t k = pick(ready);
    CUgraphNode_st& node = *graph.nodes[k];
    if (node.enabled) {
      const cudaError_t error = node.type == NodeType::child ? run_graph(*node.child)
                                : node.run                   ? node.run()
                                                             : cudaSuccess;
      if (error) return error;
    }
    for (const std::size_t follower : followers[k])
      if (--missing[follower] == 0) ready.push_back(follower);
  }
  return done == graph.nodes.size() ? cudaSuccess : cudaErrorInvalidValue;  // a cycle
}

cudaError_t launch_later(CUgraphExec_st& exec, CUstream_st& stream) {
  if (const cudaError_t sticky = sticky_error()) return sticky;
  std::map<CUgraphNode_st*, CUgraphNode_st*> map;
  std::shared_ptr<CUgraph_st> graph = clone_graph(*exec.graph, map);  // what is changed later is of later launches
  Operations after;
  if (exec.last_launch) after.push_back(exec.last_launch);
  for (const auto& node : graph->nodes)
    if (node->type == NodeType::event_wait && node->event && node->event->record) after.push_back(node->event->record);
  const bool host = std::any_of(graph->nodes.begin(), graph->nodes.end(),
                                [](const auto& node) { return node->type == NodeType::host; });
  exec.last_launch = Schedule::instance().issue(
      *stream.queue, [graph] { return run_graph(*graph); }, host, after);
  for (const auto& node : graph->nodes)
    if (node->type == NodeType::event_record && node->event) node->event->record = exec.last_launch;
  return cudaSuccess;
}

}  // namespace tweedie::vgpu
