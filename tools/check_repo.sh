#!/usr/bin/env bash
# Repository rules that a compiler does not check. Prints every violation; exit 1 when there is one.
set -uo pipefail
cd "$(dirname "$0")/.."
root=${CHECK_ROOT:-.}
bad=0
report() { echo "check_repo: $1"; bad=1; }
sources() { (cd "$root" && find src -name '*.cc' -o -name '*.h' -o -name '*.inc' -o -name '*.cu' | sort); }

# 1. Layering: the include root of a folder is reached only by linking it, so the one hole left is an
#    include that goes around it.
layering() {
  while read -r f; do
    grep -nE '#include "(\.\./|src/|/)' "$root/$f" | sed "s|^|$f:|" | while read -r hit; do echo "$hit"; done
  done < <(sources) | while read -r hit; do echo "check_repo: include goes around the layers: $hit"; done
  grep -nE 'include_directories|target_include_directories' -r "$root/src" --include=CMakeLists.txt |
    sed 's/^/check_repo: include path set by hand: /'
}
out=$(layering); [ -z "$out" ] || { echo "$out"; bad=1; }

# 2. Names that say nothing.
while read -r d; do report "folder or file name says nothing: $d"; done < <(
  cd "$root" && find src tests tools bench web \( -name node_modules -prune \) -o \
    \( -iregex '.*/\(utils?\|common\|helpers?\|misc\|shared\|stuff\)\(\.[a-z]+\)?' -o -name '*Manager*' -o -iname '*_v2.*' \) -not -path 'src/models/*' -not -path 'src/chat/*' -print 2>/dev/null)

# 3. File sizes: 1,000 lines.
while read -r f; do
  n=$(wc -l < "$root/$f")
  [ "$n" -le 1000 ] || report "$f has $n lines (at most 1000)"
done < <(sources)

# 4. Function sizes: 80 lines outside kernels (the aim is 40), measured from the formatted layout: a
#    definition starts in column 0 and ends with a closing brace in column 0.
while read -r f; do
  case "$f" in src/kernels/*|*_test.cc) continue ;; esac
  awk -v f="$f" '
    /^[A-Za-z].*[({,&]$/ && !/^(namespace|class|struct|enum|union|extern|using|typedef)/ { if (!start) start = NR; name = $0 }
    /^}/ { if (start && NR - start > 80) printf "check_repo: %s:%d: function of %d lines\n", f, start, NR - start; start = 0 }
  ' "$root/$f"
done < <(sources) > /tmp/check_repo.$$ ; [ ! -s /tmp/check_repo.$$ ] || { cat /tmp/check_repo.$$; bad=1; }; rm -f /tmp/check_repo.$$

# 5. Family names only in their own files, the registry, chat formats and the pre-tokenizer table.
#    Ollama is the name of an API.
while read -r f; do
  case "$f" in
    src/models/llama*|src/models/qwen*|src/models/deepseek*|src/models/registry*|src/chat/*|src/tokenizer/pre_tokenizer*) continue ;;
    # Test data; and the name of a rope scaling, which a configuration file spells so.
    *_test.cc|src/models/tiny_checkpoints.h|src/formats/rope_config.cc) continue ;;
    # What GGUF and config.json call things, the parameters of llama3 scaling, the published shapes.
    src/formats/gguf_*|src/formats/config_json.cc|src/formats/llama3_rope*|src/models/rope.cc) continue ;;
    src/convert/*) continue ;;
  esac
  sed 's://.*$::; s/ollama/API/gI' "$root/$f" | grep -niE '"[^"]*(llama|qwen[23]|deepseek_v[0-9])[^"]*"|\b(Llama|Qwen|DeepSeekV|DeepseekV)[0-9A-Za-z]*\b' |
    grep -v 'en", \|runs the DeepSeek' | sed "s|^|check_repo: family name in $f:|"
done < <(sources) > /tmp/check_repo.$$; [ ! -s /tmp/check_repo.$$ ] || { cat /tmp/check_repo.$$; bad=1; }; rm -f /tmp/check_repo.$$

# 6. The environment is read in config/ only.
while read -r f; do
  case "$f" in src/config/*|*_test.cc|*_fixture.h) continue ;; esac
  sed 's://.*$::' "$root/$f" | grep -nE '\b(secure_)?getenv\b' | sed "s|^|check_repo: getenv outside config/: $f:|"
done < <(sources) > /tmp/check_repo.$$; [ ! -s /tmp/check_repo.$$ ] || { cat /tmp/check_repo.$$; bad=1; }; rm -f /tmp/check_repo.$$

# 7. No weak symbol in objects compiled for one instruction set: the linker could keep that copy for
#    the whole program and kill older CPUs.
objects=${CHECK_OBJECTS:-build/release/src/kernels}
if [ -d "$objects" ]; then
  while read -r o; do
    nm -C "$o" | grep -E ' [WVu] ' | sed "s|^|check_repo: weak symbol in $o: |"
  done < <(find "$objects" -path '*/cpu/*' \( -path '*avx2*' -o -path '*avx512*' -o -path '*amx*' \) -name '*.o') > /tmp/check_repo.$$
  [ ! -s /tmp/check_repo.$$ ] || { head -20 /tmp/check_repo.$$; bad=1; }; rm -f /tmp/check_repo.$$
fi

# 8. Format.
if command -v clang-format-19 >/dev/null; then
  (cd "$root" && sources | grep -E '\.(cc|h)$' | xargs clang-format-19 --dry-run --Werror) 2>&1 | grep -E 'error:' | head -20 > /tmp/check_repo.$$
  [ ! -s /tmp/check_repo.$$ ] || { cat /tmp/check_repo.$$; bad=1; }; rm -f /tmp/check_repo.$$
fi

[ $bad = 0 ] && echo "check_repo: ok"
exit $bad
