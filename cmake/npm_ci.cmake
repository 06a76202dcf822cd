# npm ci in the current folder; says what to do when it fails.
execute_process(COMMAND ${NPM} ci --no-audit --no-fund --loglevel=error RESULT_VARIABLE rc)
if(NOT rc EQUAL 0)
  message(FATAL_ERROR "npm ci failed (${rc}) in web/: the packages of the chat page could not be "
    "installed. It needs the npm registry, or a mirror set with 'npm config set registry URL'.")
endif()
