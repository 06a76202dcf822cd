#!/usr/bin/env bash
# Plants one violation of every rule of check_repo.sh in a scratch tree and expects it to be found.
set -uo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

expect() {  # expect TEXT PATH CONTENT: the file at PATH must be reported with TEXT
  local text=$1 path=$2 content=$3
  rm -rf "$scratch"/* && mkdir -p "$scratch/$(dirname "$path")" && printf '%s' "$content" > "$scratch/$path"
  local out
  if out=$(CHECK_ROOT=$scratch CHECK_OBJECTS=${4:-/nonexistent} tools/check_repo.sh 2>&1); then
    echo "check_repo_test: not found: $text in $path"; status=1
  elif ! grep -q -- "$text" <<< "$out"; then
    echo "check_repo_test: wrong report for $path: $out"; status=1
  fi
}

long_function="int F(int x) {"$'\n'"$(for _ in $(seq 90); do echo '  ++x;'; done)"$'\n'"  return x;"$'\n'"}"$'\n'
expect 'goes around the layers' src/kv/a.cc $'#include "../engine/engine.h"\n'
expect 'include path set by hand' src/kv/CMakeLists.txt $'target_include_directories(kv PUBLIC ..)\n'
expect 'says nothing' src/base/utils.h $'\n'
expect 'at most 1000' src/kv/a.cc "$(for _ in $(seq 1002); do echo '//'; done)"
expect 'function of' src/engine/a.cc "$long_function"
expect 'family name' src/engine/a.cc $'const char* k = "deepseek_v3";\n'
expect 'getenv outside' src/engine/a.cc $'auto x = getenv("HOME");\n'
expect 'error:' src/engine/a.cc $'int   x=1 ;\n'
mkdir -p "$scratch.o/cpu/avx2" && echo 'template <class T> T F(T x) { return x; } int g() { return F(1); }' |
  clang++-19 -O0 -x c++ -c - -o "$scratch.o/cpu/avx2/a.o" &&
  expect 'weak symbol' src/engine/a.cc $'\n' "$scratch.o"
rm -rf "$scratch.o"
[ $status = 0 ] && echo "check_repo_test: ok"
exit $status
