# cmake -DSOURCE_DIR=... -DOUTPUT=... -P GitRevision.cmake: writes the header OUTPUT with the revision of the source
# tree, marked where files differ from it. Run at every build; the header changes only when its contents do.
find_package(Git QUIET)
set(revision "unknown")
if(Git_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --abbrev=40 --exclude=* --dirty=-dirty
    WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE output RESULT_VARIABLE status
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(status EQUAL 0)
    set(revision "${output}")
  endif()
endif()
set(text "#define TWEEDIE_GIT_REVISION \"${revision}\"\n")
set(old "")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" old)
endif()
if(NOT text STREQUAL old)
  file(WRITE "${OUTPUT}" "${text}")
endif()
