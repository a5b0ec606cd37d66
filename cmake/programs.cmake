# stw_programs(<folder> <pattern>): one program per matching C file, linked with the engine, as
# <build>/<folder>/<name>.  Sets <folder>_programs to their targets.
function(stw_programs folder pattern)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${pattern}")
  set(programs "")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    set(target ${folder}_${name})
    add_executable(${target} "${source}")
    target_link_libraries(${target} PRIVATE stw_flags steadwire_static)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
      RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${folder}")
    list(APPEND programs ${target})
  endforeach()
  set(${folder}_programs "${programs}" PARENT_SCOPE)
endfunction()
