# The warnings that all of Vigil compiles without, under gcc and under clang.
add_compile_options(
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla)

if(VIGIL_WERROR)
  set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()
