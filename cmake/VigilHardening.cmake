# Hardening of what gets shipped: position independent executables, read-only relocations, stack
# protection, and checked libc calls where the compiler optimises. Sanitizers bring checks of their
# own, which _FORTIFY_SOURCE would hide calls from, so it is left out there.
include(CheckCCompilerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection -fno-plt)
  string(MAKE_C_IDENTIFIER "VIGIL_HAS${flag}" has_flag)
  check_c_compiler_flag(${flag} ${has_flag})
  if(${has_flag})
    add_compile_options(${flag})
  endif()
endforeach()

if(NOT VIGIL_SANITIZE AND NOT VIGIL_FUZZ)
  add_compile_options(
    "$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
endif()

add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
