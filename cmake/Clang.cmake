# A copy of RapidJSON 1.1.0 (Debian 12's and Ubuntu 24.04's) with three lines changed comes first on the include path:
# - clang 19 refuses an assignment to a const member, in a template that nothing uses; GCC never compiles it;
# - a stack adds to a null pointer before its first allocation, and zero with many digits is normalised with clz(0).
#   Both have the right result on every compiler that is used, but UndefinedBehaviorSanitizer would end each run there.
set(rpcw_rapidjson ${PROJECT_BINARY_DIR}/rapidjson-for-clang)
find_path(RAPIDJSON_FOLDER rapidjson/document.h REQUIRED)
file(COPY ${RAPIDJSON_FOLDER}/rapidjson DESTINATION ${rpcw_rapidjson}
  PATTERN document.h EXCLUDE PATTERN stack.h EXCLUDE PATTERN diyfp.h EXCLUDE)

# Files are written only when they differ: nothing is compiled again after the next configure.
function(rpcw_rapidjson_line file old new)
  file(READ ${RAPIDJSON_FOLDER}/rapidjson/${file} text)
  string(REPLACE "${old}" "${new}" text "${text}")
  file(GENERATE OUTPUT ${rpcw_rapidjson}/rapidjson/${file} CONTENT "${text}")
endfunction()
rpcw_rapidjson_line(document.h
  "GenericStringRef& operator=(const GenericStringRef& rhs) { s = rhs.s; length = rhs.length; }"
  "GenericStringRef& operator=(const GenericStringRef& rhs) = delete;")
rpcw_rapidjson_line(internal/stack.h
  "stackTop_ + sizeof(T) * count > stackEnd_" "sizeof(T) * count > static_cast<size_t>(stackEnd_ - stackTop_)")
rpcw_rapidjson_line(internal/diyfp.h "int s = __builtin_clzll(f);" "int s = f == 0 ? 0 : __builtin_clzll(f);")
target_include_directories(rpcw_options SYSTEM BEFORE INTERFACE ${rpcw_rapidjson})

# CMake names the header besides its precompiled form, by a path that ccache does not take for one: no other clone would have
# the same command.
set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -Xclang -include-pch -Xclang <PCH_FILE>)

# With a precompiled header clang takes what std::stable_sort of GCC 12's library calls for a use of ours.
target_compile_options(rpcw_options INTERFACE -Wno-deprecated-declarations)

if(RPCW_SANITIZE MATCHES undefined)
  # vptr opens a pipe to see whether memory can be read, and takes what it finds for broken where descriptors have run out.
  # object-size looks for what AddressSanitizer finds, and takes a fifth of the time to compile.
  target_compile_options(rpcw_options INTERFACE -fno-sanitize=vptr,object-size)
endif()

# What is to be watched is the library. The tests' own code takes a fifth less time to compile without, and runs sooner.
# AddressSanitizer stays: containers that it marks must be the same everywhere.
set(unwatched)
if(RPCW_SANITIZE MATCHES undefined)
  list(APPEND unwatched -fno-sanitize=undefined)
endif()
if(RPCW_SANITIZE MATCHES fuzzer)
  # What fuzzer-no-link stands for. That word itself must be the same as for the precompiled header.
  list(APPEND unwatched -fno-sanitize-coverage=inline-8bit-counters,pc-table,trace-cmp,indirect-calls,stack-depth)
endif()
target_compile_options(rpcw_options INTERFACE "$<$<BOOL:$<TARGET_PROPERTY:RPCW_TEST_CODE>>:${unwatched}>")
