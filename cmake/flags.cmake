# How every C file of the project is compiled.  Link `stw_flags` PRIVATE to get it.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

# Asserts guard our own mistakes and stay in the builds that people run.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

add_library(stw_flags INTERFACE)
target_compile_definitions(stw_flags INTERFACE _GNU_SOURCE)
target_compile_options(stw_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wmissing-prototypes)
if(STW_WERROR)
  target_compile_options(stw_flags INTERFACE -Werror)
endif()
if(STW_HARDEN)
  target_compile_options(stw_flags INTERFACE -fno-plt -fstack-protector-strong
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  target_link_options(stw_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(STW_SANITIZE)
  set(sanitize -fsanitize=${STW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(stw_flags INTERFACE ${sanitize})
  target_link_options(stw_flags INTERFACE ${sanitize})
endif()
if(STW_COVERAGE)
  target_compile_options(stw_flags INTERFACE --coverage)
  target_link_options(stw_flags INTERFACE --coverage)
endif()
