#include "access/api_keys.h"

#include <gmock/gmock.h>

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kKey = "sk-hadal-0123456789abcdef";
const std::string kOther = "sk-hadal-fedcba9876543210";

ApiKeys TwoKeys() {
  return *ApiKeys::Create({{.id = "alice", .key = kKey, .tenant = "a"}, {.key = kOther}});
}

TEST(Sha256, IsTheStandardsFunction) {  // FIPS 180-4 example
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ApiKeys, WithoutKeysEverybodyIsLetIn) {
  const ApiKeys none;
  EXPECT_FALSE(none.configured());
  EXPECT_TRUE(none.Check({}));
}

TEST(ApiKeys, TheSameKeyByThreeHeadersHasTheSameVerdict) {
  const ApiKeys keys = TwoKeys();
  const std::string bearer = "Bearer " + kKey;
  for (const PresentedKeys& presented :
       {PresentedKeys{.authorization = bearer}, PresentedKeys{.x_api_key = kKey},
        PresentedKeys{.api_key = kKey}, PresentedKeys{.authorization = bearer, .api_key = kKey}}) {
    const auto caller = keys.Check(presented);
    ASSERT_TRUE(caller) << caller.error().message;
    EXPECT_EQ(caller->key_id, "alice");
    EXPECT_EQ(caller->tenant, "a");
  }
  const std::string wrong = kKey + "0";
  const std::string wrong_bearer = "Bearer " + wrong;
  for (const PresentedKeys& presented :
       {PresentedKeys{}, PresentedKeys{.authorization = wrong_bearer},
        PresentedKeys{.x_api_key = wrong}, PresentedKeys{.api_key = wrong}}) {
    const auto caller = keys.Check(presented);
    ASSERT_FALSE(caller);
    EXPECT_EQ(caller.error().code, ErrorCode::kUnauthenticated);
  }
}

TEST(ApiKeys, RefusesPrefixesEmptyHugeAndSqlKeys) {
  const ApiKeys keys = TwoKeys();
  const std::string huge(1 << 20, 'k');
  for (const std::string& key : {std::string(), kKey.substr(0, kKey.size() - 1), huge,
                                 std::string("' OR 1=1 --"), std::string("\0\xff", 2)}) {
    EXPECT_FALSE(keys.Check({.x_api_key = key}));
    const std::string bearer = "Bearer " + key;
    EXPECT_FALSE(keys.Check({.authorization = bearer}));
  }
  EXPECT_FALSE(keys.Check({.authorization = "Basic " + kKey}));
  EXPECT_FALSE(keys.Check({.authorization = kKey}));
  EXPECT_FALSE(keys.Check({.authorization = "Bearer"}));
}

TEST(ApiKeys, TheBearerSchemeHasAnyCase) {
  EXPECT_TRUE(TwoKeys().Check({.authorization = "bearer " + kKey}));
  EXPECT_TRUE(TwoKeys().Check({.authorization = "BEARER  " + kKey}));
}

TEST(ApiKeys, TwoHeadersWithDifferentKeysAreRefusedEvenIfBothAreGood) {
  EXPECT_FALSE(TwoKeys().Check({.x_api_key = kKey, .api_key = kOther}));
  EXPECT_FALSE(TwoKeys().Check({.x_api_key = kKey, .api_key = "wrong"}));
}

TEST(ApiKeys, TheErrorNeverQuotesTheKey) {
  const auto caller = TwoKeys().Check({.x_api_key = "secret-guess-0123456789"});
  ASSERT_FALSE(caller);
  EXPECT_THAT(caller.error().message, Not(HasSubstr("secret-guess")));
  const auto twice = ApiKeys::Create({{.key = kKey}, {.key = kKey}});
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, Not(HasSubstr(kKey)));
  EXPECT_EQ(twice.error().field, "access.keys[1]");
}

TEST(ApiKeys, WeakKeysAreAConfigurationError) {
  for (const char* key : {"", "short", "with a space in the middle", "tab\tin-the-middle-of-it"}) {
    const auto keys = ApiKeys::Create({{.key = key}});
    ASSERT_FALSE(keys) << key;
    EXPECT_EQ(keys.error().code, ErrorCode::kBadConfig);
  }
}

TEST(BindAddress, AnythingButLoopbackNeedsAKey) {
  for (const char* address :
       {"127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1", "[::1]"}) {
    EXPECT_TRUE(CheckBindAddress(address, false)) << address;
  }
  for (const char* address : {"0.0.0.0", "::", "10.0.0.1", "192.168.1.7", "fe80::1", "example.org",
                              "", "128.0.0.1", "[::]", "[", "[]", "127.evil.example"}) {
    const auto status = CheckBindAddress(address, false);
    ASSERT_FALSE(status) << address;
    EXPECT_EQ(status.error().field, "server.host");
    EXPECT_TRUE(CheckBindAddress(address, true)) << address;
  }
}

}  // namespace
}  // namespace hadal
