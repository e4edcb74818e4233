# Optimisation at link time in the build type Release: the core and what it calls of protocol/ become
# one piece, which takes more than a quarter off a put's instructions. With gcc only: its objects can
# hold machine code as well (-ffat-lto-objects), which the tests, libvigil.a and nm then use, so that
# neither the suite's links nor a program that takes the static library pay for it. An explicit
# CMAKE_INTERPROCEDURAL_OPTIMIZATION, on or off, is left as it is.
set(VIGIL_LINK_TIME OFF)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT DEFINED CMAKE_INTERPROCEDURAL_OPTIMIZATION
    AND NOT VIGIL_SANITIZE AND NOT VIGIL_COVERAGE)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT VIGIL_LINK_TIME LANGUAGES C)
endif()

if(VIGIL_LINK_TIME)
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION_RELEASE ON)
  add_compile_options("$<$<CONFIG:Release>:-ffat-lto-objects>")
endif()

# For folders whose programs are linked from the machine code.
macro(vigil_link_at_once)
  if(VIGIL_LINK_TIME)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION_RELEASE OFF)
    add_link_options("$<$<CONFIG:Release>:-fno-lto>")
  endif()
endmacro()
