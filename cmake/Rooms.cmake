# tweedie_room(NAME DEPENDENCIES...): the library tweedie_NAME of all sources below NAME/.
# Its headers are reached as "NAME/...", through a folder that holds a link to this room alone, so that a room
# can include only the rooms it links.
function(tweedie_room name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${name}/*.cpp")
  add_library(tweedie_${name} STATIC ${sources})
  set(include_dir "${CMAKE_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${include_dir}")
  file(CREATE_LINK "${CMAKE_SOURCE_DIR}/${name}" "${include_dir}/${name}" SYMBOLIC)
  target_include_directories(tweedie_${name} PUBLIC "${include_dir}")
  target_link_libraries(tweedie_${name} PRIVATE tweedie_options)
  foreach(dependency IN LISTS ARGN)
    target_link_libraries(tweedie_${name} PUBLIC tweedie_${dependency})
  endforeach()
  if(EXISTS "${CMAKE_SOURCE_DIR}/${name}/CMakeLists.txt")
    add_subdirectory(${name})
  endif()
endfunction()
