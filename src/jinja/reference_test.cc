// Published templates against what jinja2 made of them. The expectations are not part of this
// repository: without HADAL_REFERENCE_DIR the test skips.
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "jinja/testing_render.h"

namespace hadal::jinja {
namespace {

TEST(PublishedTemplates, RenderWhatJinjaRenders) {
  const std::filesystem::path reference = HADAL_REFERENCE_DIR;
  if (reference.empty()) GTEST_SKIP() << "HADAL_REFERENCE_DIR is empty";
  const auto expected = ReadFile(reference / "templates/expected.jsonl", 1u << 20);
  ASSERT_TRUE(expected) << expected.error().message;
  std::istringstream lines(*expected);
  int n_rendered = 0, n_refused = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line);
    const std::string name = row["template"];
    SCOPED_TRACE(name + " " + row["case"].get<std::string>());
    const auto source = ReadFile(reference / "templates" / (name + ".jinja"), 1u << 20);
    ASSERT_TRUE(source) << source.error().message;
    const Json trusted = {{"bos_token", row["bos"]}, {"eos_token", row["eos"]}};
    const auto rendered = TryRender(*source, row["input"], {}, trusted);
    if (row.contains("error")) {
      EXPECT_FALSE(rendered) << rendered->text;
      ++n_refused;
      continue;
    }
    ASSERT_TRUE(rendered) << rendered.error().message;
    EXPECT_EQ(rendered->text, row["rendered"].get<std::string>());
    ++n_rendered;
  }
  EXPECT_EQ(n_rendered, 75);
  EXPECT_EQ(n_refused, 6);
}

}  // namespace
}  // namespace hadal::jinja
