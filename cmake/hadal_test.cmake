# hadal_test(<name> [LABELS label...] [SHARDS n] LINK dep... SOURCES file...)
# One GoogleTest binary, compiled without optimisation; LABELS: "threaded" runs under TSan too, "emulated" only in
# ./check, "heavy" runs long: it begins early. These two are optimised. SHARDS: so many processes share its tests, each with its own
# time limit. The targets unit_tests and
# threaded_tests build all tests of a label. Tests find the repository's files under
# HADAL_SOURCE_DIR, and under HADAL_REFERENCE_DIR what is too large for it.
set(HADAL_REFERENCE_DIR "" CACHE PATH "folder with further reference material: goldens/, tokenizers/, \
templates/; tests that need it skip when it is empty")
if(HADAL_TESTS)
  add_custom_target(unit_tests)
  add_custom_target(threaded_tests)
endif()
function(hadal_run_test target name labels environment)  # then arguments
  add_test(NAME ${name} COMMAND ${target} ${ARGN})
  if("emulated" IN_LIST labels)  # fibers switch stacks: far faster without copies of frames
    list(APPEND environment ASAN_OPTIONS=detect_stack_use_after_return=0)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "unit;${labels}" ENVIRONMENT "${environment}")
  if("emulated" IN_LIST labels OR "heavy" IN_LIST labels)
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endfunction()
function(hadal_test name)
  if(NOT HADAL_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "SHARDS" "LABELS;LINK;SOURCES" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)  # tests share many names
  target_link_libraries(${name} PRIVATE ${A_LINK} GTest::gmock_main)
  if(NOT "heavy" IN_LIST A_LABELS AND NOT "emulated" IN_LIST A_LABELS)  # compiled in half the time
    target_compile_options(${name} PRIVATE -O0)
  endif()
  if(HADAL_FUZZ)
    target_compile_options(${name} PRIVATE -fno-sanitize=fuzzer-no-link)
  endif()
  target_compile_definitions(${name} PRIVATE HADAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    HADAL_REFERENCE_DIR="${HADAL_REFERENCE_DIR}")
  if(A_SHARDS)
    math(EXPR last "${A_SHARDS} - 1")
    foreach(shard RANGE ${last})
      hadal_run_test(${name} ${name}_${shard} "${A_LABELS}" "GTEST_TOTAL_SHARDS=${A_SHARDS};GTEST_SHARD_INDEX=${shard}")
    endforeach()
  else()
    hadal_run_test(${name} ${name} "${A_LABELS}" "")
  endif()
  if(NOT (HADAL_SANITIZE AND "emulated" IN_LIST A_LABELS))  # by hand: too long to build and run for each push
    add_dependencies(unit_tests ${name})
  endif()
  if("threaded" IN_LIST A_LABELS)
    add_dependencies(threaded_tests ${name})
  endif()
endfunction()

# hadal_fuzz(<name> LINK dep... SOURCES file...): one libFuzzer target; corpus in tests/fuzz/corpus/<name>.
# The target fuzzers builds all of them.
if(HADAL_FUZZ)
  add_custom_target(fuzzers)
endif()
function(hadal_fuzz name)
  cmake_parse_arguments(A "" "" "LINK;SOURCES" ${ARGN})
  add_executable(${name}_fuzz ${A_SOURCES})
  set_target_properties(${name}_fuzz PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name}_fuzz PRIVATE ${A_LINK})
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${name}_fuzz)
endfunction()
