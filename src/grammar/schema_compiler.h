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
#include "grammar/parameter_syntax.h"
#include "grammar/schema_reader.h"

namespace hadal::grammar {

class SchemaCompiler {
 public:
  SchemaCompiler(const SchemaTree& tree, const SchemaOptions& options, JsonRules& json)
      : tree_(tree),
        options_(options),
        builder_(json.builder()),
        budget_(builder_.budget()),
        reader_(tree, options, budget_),
        json_(json) {}

  // The rule of the whole schema, or of its objects alone; all that it needs is defined.
  Result<uint32_t> Emit(uint8_t types = kEveryType);
  // The rule of its objects, written as parameters.
  Result<uint32_t> EmitParameters(const ParameterSyntax& syntax);

 private:
  struct KeyClass {  // additional keys that share their schemas
    Dfa keys;
    Nodes value;
  };
  struct Undefined {
    Nodes nodes;
    uint8_t types;
    uint32_t rule;
  };
  // How the members of an object are written.
  class Members;
  class JsonMembers;
  class ParameterMembers;

  Result<uint32_t> RuleOf(const Nodes& nodes);
  // Of the values of some types only; kNone: there are none.
  Result<uint32_t> RuleOf(const Nodes& nodes, uint8_t types);
  Result<uint32_t> AddRule(const Nodes& nodes, uint8_t types);
  Status DefineRules();
  Status DefineRule(const Undefined& rule);
  Status EmitNodes(const Nodes& nodes, uint8_t types, Nfa& nfa);
  Status EmitShape(Shape shape, uint8_t types, uint32_t origin, Nfa& nfa);
  uint8_t TypesOf(const Shape& shape) const;

  // schema_values.cc
  Status EmitValues(const Shape& shape, uint32_t origin, Nfa& nfa);
  Result<bool> Allows(const Shape& shape, uint32_t value, uint32_t origin);
  Status EmitNumbers(const Shape& shape, uint32_t origin, Nfa& nfa);
  Status EmitStrings(const Shape& shape, uint32_t origin, Nfa& nfa);
  Result<Dfa> TextsOf(const Shape& shape, bool lengths);
  Result<std::shared_ptr<const Dfa>> PatternOf(uint32_t node);

  // schema_objects.cc
  Status EmitObject(const Shape& shape, uint32_t origin, Members& members, Nfa& nfa);
  Result<uint32_t> EmitProperties(const Shape& shape, uint32_t from, Members& members, Nfa& nfa,
                                  std::vector<uint32_t>& at);
  Result<uint32_t> MembersRule(const Shape& shape, uint32_t origin, Members& members, bool first);
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
  AutomatonBuilder& builder_;
  Budget& budget_;
  SchemaReader reader_;
  JsonRules& json_;
  std::map<std::pair<Nodes, uint8_t>, uint32_t> rules_;
  std::vector<Undefined> undefined_;
  std::map<std::string, uint32_t> shared_;  // rules for numbers and strings by what they allow
  std::map<uint32_t, std::shared_ptr<const Dfa>> patterns_;
  std::map<uint32_t, uint32_t> next_items_;  // by the item's rule
};

class SchemaCompiler::Members {
 public:
  virtual ~Members() = default;
  // A new state of `nfa` reached from `from`: at the first member, at a further one.
  virtual Result<uint32_t> Begin(Nfa& nfa, uint32_t from) = 0;
  virtual Result<uint32_t> Separate(Nfa& nfa, uint32_t from) = 0;
  virtual Status Listed(Nfa& nfa, uint32_t from, const std::string& name, const Nodes& value,
                        uint32_t to) = 0;
  virtual Status Free(Nfa& nfa, uint32_t from, const Dfa& names, const Nodes& value,
                      uint32_t to) = 0;
  virtual Status End(Nfa& nfa, uint32_t from, bool empty) = 0;  // to the accepting state
  virtual bool separates() const { return true; }  // a further member begins unlike the first
  virtual uint32_t max_free() const { return kNone; }
};

class SchemaCompiler::JsonMembers final : public Members {
 public:
  explicit JsonMembers(SchemaCompiler& compiler) : c_(compiler) {}
  Result<uint32_t> Begin(Nfa& nfa, uint32_t from) override;
  Result<uint32_t> Separate(Nfa& nfa, uint32_t from) override;
  Status Listed(Nfa& nfa, uint32_t from, const std::string& name, const Nodes& value,
                uint32_t to) override;
  Status Free(Nfa& nfa, uint32_t from, const Dfa& names, const Nodes& value, uint32_t to) override;
  Status End(Nfa& nfa, uint32_t from, bool empty) override;

 private:
  SchemaCompiler& c_;
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
