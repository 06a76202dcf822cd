// Owns: the rules of one schema inside an automaton: one rule per conjunction of schemas, made when
// first asked for and defined later, so recursive schemas end and deep ones do not recurse.
// Knows nothing of keywords (SchemaReader does). Thread rule: a value of one thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/json_rules.h"
#include "grammar/schema_reader.h"

namespace hadal::grammar {

class SchemaCompiler {
 public:
  SchemaCompiler(const SchemaTree& tree, const SchemaOptions& options, Budget& budget)
      : tree_(tree),
        options_(options),
        budget_(budget),
        reader_(tree, options, budget),
        builder_(budget),
        json_(builder_, options.space) {}

  Result<std::shared_ptr<const Automaton>> Run();

 private:
  struct KeyClass {  // additional keys that share their schemas
    Dfa keys;
    Nodes value;
  };
  Result<uint32_t> RuleOf(const Nodes& nodes);
  Status DefineRule(const Nodes& nodes, uint32_t rule);
  Status EmitNodes(const Nodes& nodes, Nfa& nfa);
  Status EmitShape(const Shape& shape, uint32_t origin, Nfa& nfa);

  // schema_values.cc
  Status EmitValues(const Shape& shape, uint32_t origin, Nfa& nfa);
  Result<bool> Allows(const Shape& shape, uint32_t value, uint32_t origin);
  Status EmitNumbers(const Shape& shape, uint32_t origin, Nfa& nfa);
  Status EmitStrings(const Shape& shape, uint32_t origin, Nfa& nfa);
  Result<Dfa> TextsOf(const Shape& shape, bool lengths);
  Result<std::shared_ptr<const Dfa>> PatternOf(uint32_t node);

  // schema_objects.cc
  Status EmitObject(const Shape& shape, uint32_t origin, Nfa& nfa);
  Result<uint32_t> EmitProperties(const Shape& shape, uint32_t from, Nfa& nfa,
                                  std::vector<uint32_t>& at);
  Result<uint32_t> MembersRule(const Shape& shape, uint32_t origin, bool comma);
  Result<std::vector<KeyClass>> AdditionalKeys(const Shape& shape);
  Result<Dfa> FreeKeys(const Shape& shape);
  Result<bool> NameAllowed(const Shape& shape, const std::string& name);
  Result<Dfa> KeysAllowedBy(uint32_t property_names);
  Result<Nodes> ValueOf(const Shape& shape, const std::string& name);
  bool IsClosed(const Shape& shape) const;

  // schema_arrays.cc
  Status EmitArray(const Shape& shape, uint32_t origin, Nfa& nfa);
  Status EmitUnique(const Shape& shape, const std::vector<uint32_t>& values, Nfa& nfa);
  Result<Nodes> ItemOf(const Shape& shape, size_t index);
  Result<uint32_t> NextItemRule(const Nodes& item);

  const SchemaTree& tree_;
  const SchemaOptions options_;
  Budget& budget_;
  SchemaReader reader_;
  AutomatonBuilder builder_;
  JsonRules json_;
  std::map<Nodes, uint32_t> rules_;
  std::vector<std::pair<Nodes, uint32_t>> undefined_;
  std::map<std::string, uint32_t> shared_;  // rules for numbers and strings by what they allow
  std::map<uint32_t, std::shared_ptr<const Dfa>> patterns_;
  std::map<uint32_t, uint32_t> next_items_;  // by the item's rule
};

// Adds literals from one state, sharing their beginnings.
class LiteralTrie {
 public:
  LiteralTrie(Nfa& nfa, uint32_t from, uint32_t to) : nfa_(nfa), from_(from), to_(to) {}
  void Add(std::string_view literal);

 private:
  Nfa& nfa_;
  uint32_t from_, to_;
  std::map<std::pair<uint32_t, char>, uint32_t> next_;
};

}  // namespace hadal::grammar
