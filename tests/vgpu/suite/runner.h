// Runs a program under vgpu-run and gives its output and status.
#pragma once
#include <string>
#include <vector>

struct Outcome {
  int status = -1;
  std::string text;  // standard output and error together
  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

// `arguments`: options of vgpu-run, then the program's name in the build's folder of cases, then its arguments.
Outcome run_case(const std::string& options, const std::string& program, const std::string& arguments);
std::vector<std::string> list_cases(const std::string& program);
