# Compiles for arm64 with Debian's and Ubuntu's g++-aarch64-linux-gnu, against the folder that `scripts/sysroot arm64` makes.
# The preset arm64 uses it. Tests run under qemu-user where it is installed.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
get_filename_component(RPCW_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot-arm64 ABSOLUTE)
set(CMAKE_SYSROOT ${RPCW_SYSROOT})
if(NOT EXISTS ${RPCW_SYSROOT})
  message(FATAL_ERROR "${RPCW_SYSROOT} is missing: run scripts/sysroot arm64 first")
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(RPCW_QEMU NAMES qemu-aarch64-static qemu-aarch64)
if(RPCW_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${RPCW_QEMU} -L ${RPCW_SYSROOT})
endif()
