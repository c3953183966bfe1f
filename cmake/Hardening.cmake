# Defences that the compiler offers, for optimised builds, and the same bytes from any folder.
# tests/e2e/hardening reads them off the program.

# Paths in debug information and messages begin at the source folder, wherever that is.
target_compile_options(rpcw_options INTERFACE -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)

# Not CMake's own switch: it compiles the library as for a shared one, and the precompiled headers serve programs too.
target_compile_options(rpcw_options INTERFACE -fPIE)
target_link_options(rpcw_options INTERFACE -pie)

# Sanitizers bring checks of their own, and _FORTIFY_SOURCE hides calls from them.
if(NOT RPCW_SANITIZE)
  set(optimised "$<OR:$<CONFIG:Release>,$<CONFIG:RelWithDebInfo>,$<CONFIG:MinSizeRel>>")
  target_compile_definitions(rpcw_options INTERFACE $<${optimised}:_GLIBCXX_ASSERTIONS>)
  # Ubuntu's compiler has a level of its own, and a second definition is a warning.
  target_compile_options(rpcw_options INTERFACE
    $<${optimised}:-U_FORTIFY_SOURCE> $<${optimised}:-D_FORTIFY_SOURCE=3>
    $<${optimised}:-fstack-protector-strong> $<${optimised}:-fstack-clash-protection>)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    target_compile_options(rpcw_options INTERFACE $<${optimised}:-fcf-protection>)
  endif()
  target_link_options(rpcw_options INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  # The program is smaller without what nothing calls.
  target_compile_options(rpcw_options INTERFACE $<${optimised}:-ffunction-sections>)
  target_link_options(rpcw_options INTERFACE -Wl,--gc-sections)
endif()
