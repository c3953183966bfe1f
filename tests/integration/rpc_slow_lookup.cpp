// For LD_PRELOAD: looking up slow.test takes eight seconds, as with a name server that has gone.
#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include <cstring>

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** out) {
  if (node != nullptr && std::strcmp(node, "slow.test") == 0) {
    // nanosleep may be interrupted by a signal meant for the program.
    for (unsigned left = 8; left > 0;) left = ::sleep(left);
    return EAI_AGAIN;
  }
  using Function = int(const char*, const char*, const addrinfo*, addrinfo**);
  static auto* const real = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, out);
}
