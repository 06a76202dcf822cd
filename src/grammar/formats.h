// Owns: what each "format" of JSON Schema allows, as a pattern. Knows nothing of schemas.
// Enforced: date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uri-reference, uuid,
// json-pointer, byte (base64). Each is the common subset that every validator takes: for instance
// time needs an offset, leap seconds are not written, hosts are ASCII.
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string_view>

namespace hadal::grammar {

// A pattern of the whole text; nullopt when the format is not known.
std::optional<std::string_view> PatternOfFormat(std::string_view format);
// Formats of OpenAPI that say something other than a spelling: password, float, double, binary.
bool IsAnnotationFormat(std::string_view format);

}  // namespace hadal::grammar
