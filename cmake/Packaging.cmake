# Packages, by `cpack` in a build tree: .deb, a tarball, and .rpm where rpmbuild is there. The .deb uses the libraries of the
# Debian or Ubuntu that it was built on; the tarball and the .rpm bring them (see scripts/portable).
#
# Their prefix is /usr, whatever CMAKE_INSTALL_PREFIX is.

find_program(GZIP gzip REQUIRED)
set(rpcw_release 1)

# What Debian wants compressed, without a time stamp in it, so that the same tree makes the same package.
function(rpcw_gzip source target)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  execute_process(COMMAND ${GZIP} -9nc ${source} OUTPUT_FILE ${target} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

install(FILES deploy/systemd/rpc-weighter.service deploy/systemd/rpc-weighter@.service
  deploy/systemd/rpc-weighter-once.service deploy/systemd/rpc-weighter-once.timer DESTINATION lib/systemd/system)
install(FILES deploy/systemd/rpc-weighter.sysusers DESTINATION lib/sysusers.d RENAME rpc-weighter.conf)
install(FILES deploy/systemd/rpc-weighter.tmpfiles DESTINATION lib/tmpfiles.d RENAME rpc-weighter.conf)
install(FILES deploy/prometheus/rules.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/rpc-weighter/prometheus)
install(FILES deploy/grafana/rpc-weighter.json DESTINATION ${CMAKE_INSTALL_DATADIR}/rpc-weighter/grafana)
install(FILES examples/haproxy.cfg examples/config.toml examples/chains.cfg examples/chains.toml examples/discover.toml
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpc-weighter/examples)
install(FILES deploy/package/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpc-weighter)

# For those that bring them; too small to be an option.
add_executable(rpc-weighter-launcher deploy/package/launcher.cpp)
target_compile_options(rpc-weighter-launcher PRIVATE -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<BOOL:${RPCW_WERROR}>:-Werror>)
target_link_options(rpc-weighter-launcher PRIVATE -static -s)
add_dependencies(rpc-weighter rpc-weighter-launcher)

set(packaging ${PROJECT_BINARY_DIR}/packaging)
file(MAKE_DIRECTORY ${packaging})
configure_file(deploy/package/changelog.in ${packaging}/changelog @ONLY)
rpcw_gzip(${packaging}/changelog ${packaging}/changelog.Debian.gz)
rpcw_gzip(${PROJECT_SOURCE_DIR}/CHANGELOG.md ${packaging}/changelog.gz)
install(FILES ${packaging}/changelog.Debian.gz ${packaging}/changelog.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpc-weighter)
foreach(page rpc-weighter.1 rpc-weighter.toml.5)
  string(REGEX REPLACE ".*([0-9])$" "\\1" section ${page})
  rpcw_gzip(${PROJECT_SOURCE_DIR}/share/man/${page} ${packaging}/${page}.gz)
  install(FILES ${packaging}/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# A package's, and never those of `cmake --install` to another prefix: the machine's own are the administrator's.
install(CODE "
  if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    file(INSTALL DESTINATION \"/etc/rpc-weighter\" TYPE FILE PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ
      FILES \"${PROJECT_SOURCE_DIR}/examples/config.toml\" \"${PROJECT_SOURCE_DIR}/deploy/package/environment\")
  endif()")

set(CPACK_GENERATOR DEB TGZ)
find_program(RPMBUILD rpmbuild)
if(RPMBUILD)
  list(APPEND CPACK_GENERATOR RPM)
endif()
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME rpc-weighter)
set(CPACK_PACKAGE_VENDOR "the rpc-weighter authors")
set(CPACK_PACKAGE_CONTACT "the rpc-weighter authors <maintainers@rpc-weighter.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "keeps HAProxy server weights in step with RPC provider health")
set(CPACK_PACKAGE_DESCRIPTION "rpc-weighter probes the blockchain RPC providers behind a HAProxy, compares
their newest blocks, and sets the servers' weights over HAProxy's admin socket.
No request passes through it.")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME rpc-weighter-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${rpcw_release})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(CMAKE_CROSSCOMPILING)
  # CPack takes this machine's architecture and packages unless it is told better.
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  set(CPACK_RPM_PACKAGE_ARCHITECTURE aarch64)
  configure_file(cmake/cross-shlibdeps.in ${packaging}/cross-shlibdeps @ONLY FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endif()
configure_file(cmake/cpack.cmake.in ${packaging}/cpack.cmake @ONLY)
configure_file(cmake/portable.cmake.in ${packaging}/portable.cmake @ONLY)
set(CPACK_PROJECT_CONFIG_FILE ${packaging}/cpack.cmake)
# apt installs the first alternative where none is there: in a container two small programs, not an init system.
set(CPACK_DEBIAN_PACKAGE_DEPENDS
  "ca-certificates, systemd-standalone-sysusers | systemd, systemd-standalone-tmpfiles | systemd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "haproxy (>= 2.6)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${packaging}/conffiles "/etc/rpc-weighter/config.toml\n/etc/rpc-weighter/environment\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${packaging}/conffiles ${PROJECT_SOURCE_DIR}/deploy/package/postinst
  ${PROJECT_SOURCE_DIR}/deploy/package/prerm ${PROJECT_SOURCE_DIR}/deploy/package/postrm)

set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_RELEASE ${rpcw_release})
set(CPACK_RPM_PACKAGE_LICENSE Apache-2.0)
set(CPACK_RPM_PACKAGE_REQUIRES "systemd, ca-certificates")
# Its libraries are its own: it asks for none, offers none, and leaves them as they are.
set(CPACK_RPM_PACKAGE_AUTOREQPROV OFF)
set(CPACK_RPM_PACKAGE_RELOCATABLE OFF)
set(CPACK_RPM_SPEC_MORE_DEFINE "%define __os_install_post %{nil}\n%define _build_id_links none")
set(CPACK_RPM_USER_FILELIST "%config(noreplace) /etc/rpc-weighter/config.toml" "%config(noreplace) /etc/rpc-weighter/environment")
set(CPACK_RPM_POST_INSTALL_SCRIPT_FILE ${PROJECT_SOURCE_DIR}/deploy/package/rpm-post)
set(CPACK_RPM_PRE_UNINSTALL_SCRIPT_FILE ${PROJECT_SOURCE_DIR}/deploy/package/rpm-preun)
# Folders that are the system's.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION /etc /usr/lib/systemd /usr/lib/systemd/system /usr/lib/sysusers.d
  /usr/lib/tmpfiles.d /usr/share/bash-completion /usr/share/bash-completion/completions /usr/share/fish
  /usr/share/fish/vendor_completions.d /usr/share/zsh /usr/share/zsh/site-functions)
include(CPack)
