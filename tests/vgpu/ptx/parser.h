// The recursive-descent parser's state; module-level and body-level halves live in two files.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ptx/lexer.h"
#include "ptx/module.h"

namespace tweedie::vgpu::ptx {

class Parser {
 public:
  explicit Parser(std::string_view text);
  std::unique_ptr<Module> run();

 private:
  struct Scope {
    std::map<std::string, int, std::less<>> registers;  // exact names
    std::vector<std::pair<std::string, int>> families;  // %r<N>: prefix and width
    std::map<std::string, Parameter> parameters;        // .param of a call sequence
    bool called = false;                                // its offsets are known
    std::vector<std::string> labels;
  };

  const Token& peek(int ahead = 0) const;
  const Token& next();
  bool accept(std::string_view text);
  void expect(std::string_view text);
  [[noreturn]] void fail(const std::string& what) const;
  std::string name();
  i64 integer();

  // module level (parser.cpp)
  void directive();
  void file_directive();
  Variable variable(Space space);
  void initialiser(Variable& variable, int element_bytes);
  void store_value(Variable& variable, int element_bytes, u64 at);
  void function(bool entry);
  std::vector<Parameter> parameter_list();
  Parameter parameter();

  // bodies (parser_body.cpp)
  void body();
  void register_declaration();
  void call_parameter();
  void instruction();
  void operands(Instruction& made);
  void finish_call(Instruction& call, std::size_t scope_start);
  Operand operand();
  Operand immediate(bool negative);
  Operand address();
  Operand group(char close);
  int register_of(std::string_view name);
  void location();
  void close_labels();

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::unique_ptr<Module> module_;
  Function* current_ = nullptr;
  std::vector<Scope> scopes_;
  std::vector<std::size_t> scope_starts_;
  int file_ = 0, line_ = 0, scope_count_ = 0;
};

}  // namespace tweedie::vgpu::ptx
