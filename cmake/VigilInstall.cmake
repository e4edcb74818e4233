# What gets installed: the programs, the library with its header, a CMake package, a pkg-config file
# and the manual pages. The tree can be moved: nothing in it holds an absolute path.
include(CMakePackageConfigHelpers)

foreach(program vigild vigil_cli vigil_bench)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8])
foreach(page IN LISTS man_pages)
  cmake_path(GET page EXTENSION LAST_ONLY section)
  string(SUBSTRING ${section} 1 1 section)
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

if(NOT TARGET vigil)
  return()
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Vigil)

install(FILES ${PROJECT_SOURCE_DIR}/client/include/vigil.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Two exports: an application that takes the shared library need not have ZeroMQ's headers.
install(TARGETS vigil EXPORT VigilTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS vigil_static EXPORT VigilStaticTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(export VigilTargets VigilStaticTargets)
  install(EXPORT ${export} NAMESPACE Vigil:: DESTINATION ${package_dir})
endforeach()

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/VigilConfig.cmake.in ${PROJECT_BINARY_DIR}/VigilConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/VigilConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/VigilConfig.cmake ${PROJECT_BINARY_DIR}/VigilConfigVersion.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH pc_to_prefix
  /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/vigil.pc.in ${PROJECT_BINARY_DIR}/vigil.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vigil.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
