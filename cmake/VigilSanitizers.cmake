# VIGIL_SANITIZE, VIGIL_FUZZ and VIGIL_COVERAGE. A finding ends the program at once: a test whose
# program went on after one would pass.
if(VIGIL_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "VIGIL_FUZZ needs clang (libFuzzer); this compiler is ${CMAKE_C_COMPILER_ID}")
  endif()
  if(VIGIL_SANITIZE STREQUAL "thread")
    message(FATAL_ERROR "VIGIL_FUZZ runs with AddressSanitizer, not with VIGIL_SANITIZE=thread")
  endif()
  set(VIGIL_SANITIZE address)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(VIGIL_SANITIZE STREQUAL "address")
  set(sanitizers address,undefined)
elseif(VIGIL_SANITIZE STREQUAL "thread")
  set(sanitizers thread)
elseif(VIGIL_SANITIZE)
  message(FATAL_ERROR "VIGIL_SANITIZE is '${VIGIL_SANITIZE}': it can be address, thread or empty")
endif()

if(VIGIL_SANITIZE)
  add_compile_options(
    -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizers})
endif()

if(VIGIL_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
