#include "grammar/formats.h"

#include <algorithm>
#include <utility>

namespace hadal::grammar {
namespace {

// Months of 31, 30 and 28 days, and 29 February of leap years.
#define DATE                                                                                      \
  "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|" \
  "02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|"                        \
  "(?:[02468][048]|[13579][26])00)-02-29)"
#define TIME                                             \
  "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?" \
  "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define LABEL "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#define HOST LABEL "(?:\\." LABEL "){0,2}"
#define BYTE "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define H16 "[0-9a-fA-F]{1,4}"
#define PCHAR "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})"
#define PATH "(?:" PCHAR "|/)*"
#define TAIL "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"

constexpr std::pair<std::string_view, std::string_view> kPatterns[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"duration",
     "P(?:\\d{1,9}W|(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)"
     "(?:T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S))?|"
     "T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S))"},
    {"email",
     "[a-zA-Z0-9_+-]{1,30}(?:\\.[a-zA-Z0-9_+-]{1,30})?@(?:" LABEL "\\.){1,3}[a-zA-Z]{2,24}"},
    {"hostname", HOST},
    {"ipv4", IPV4},
    {"ipv6",
     "(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,6}:" H16 "|(?:" H16 ":){1,7}:|:(?::" H16 "){1,7}|::"},
    {"uri", "[a-zA-Z][a-zA-Z0-9+.-]{0,15}://" HOST "(?::[1-9]\\d{0,3})?(?:/" PATH ")?" TAIL},
    {"uri-reference", "(?:https?://" HOST ")?(?:/" PCHAR "+)*" TAIL},
    {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
    {"json-pointer", "(?:/(?:[^/~]|~[01])*)*"},
    {"byte", "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"},
};

constexpr std::string_view kAnnotations[] = {"password", "float", "double", "binary"};

}  // namespace

std::optional<std::string_view> PatternOfFormat(std::string_view format) {
  for (const auto& [name, pattern] : kPatterns) {
    if (name == format) return pattern;
  }
  return std::nullopt;
}

bool IsAnnotationFormat(std::string_view format) {
  return std::find(std::begin(kAnnotations), std::end(kAnnotations), format) !=
         std::end(kAnnotations);
}

}  // namespace hadal::grammar
