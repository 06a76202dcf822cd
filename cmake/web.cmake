# The chat page: web/ -> files in ${HADAL_WEB_DIST}, built by npm's packages when their sources
# changed. web/node_modules is shared by all build folders.
find_program(HADAL_NODE NAMES node nodejs)
find_program(HADAL_NPM npm)
if(NOT HADAL_NODE OR NOT HADAL_NPM)
  message(FATAL_ERROR "The chat page needs node (18 or newer) and npm: tools/setup.sh installs them.")
endif()
execute_process(COMMAND ${HADAL_NODE} --version OUTPUT_VARIABLE node_version
  OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "v" "" node_version "${node_version}")
if(node_version VERSION_LESS 18)
  message(FATAL_ERROR "The chat page needs node 18 or newer; ${HADAL_NODE} is ${node_version}.")
endif()

set(HADAL_WEB ${CMAKE_SOURCE_DIR}/web)
set(HADAL_WEB_DIST ${CMAKE_BINARY_DIR}/web)
set(packages ${HADAL_WEB}/node_modules/.package-lock.json)  # npm writes it last
file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${HADAL_WEB}/src/* ${HADAL_WEB}/static/*)

add_custom_command(OUTPUT ${packages}
  COMMAND ${CMAKE_COMMAND} -DNPM=${HADAL_NPM} -P ${CMAKE_SOURCE_DIR}/cmake/npm_ci.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${packages}
  DEPENDS ${HADAL_WEB}/package.json ${HADAL_WEB}/package-lock.json
  WORKING_DIRECTORY ${HADAL_WEB}
  COMMENT "npm packages of the chat page"
  VERBATIM)
add_custom_command(OUTPUT ${HADAL_WEB_DIST}/index.html
  COMMAND ${HADAL_NODE} build.mjs ${HADAL_WEB_DIST}
  DEPENDS ${packages} ${HADAL_WEB}/build.mjs ${HADAL_WEB}/tsconfig.json ${sources}
  WORKING_DIRECTORY ${HADAL_WEB}
  COMMENT "chat page"
  VERBATIM)
