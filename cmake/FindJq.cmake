# libjq, which installs no pkg-config file before jq 1.7. Defines Jq::jq. Oniguruma is linked where
# it is found: a shared libjq brings it along, a static one does not.
include(FindPackageHandleStandardArgs)

find_path(Jq_INCLUDE_DIR jq.h)
find_library(Jq_LIBRARY jq)
find_library(Jq_ONIG_LIBRARY onig)
mark_as_advanced(Jq_INCLUDE_DIR Jq_LIBRARY Jq_ONIG_LIBRARY)

find_package_handle_standard_args(Jq REQUIRED_VARS Jq_LIBRARY Jq_INCLUDE_DIR)

if(Jq_FOUND AND NOT TARGET Jq::jq)
  add_library(Jq::jq UNKNOWN IMPORTED)
  set_target_properties(Jq::jq PROPERTIES
    IMPORTED_LOCATION "${Jq_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Jq_INCLUDE_DIR}")
  if(Jq_ONIG_LIBRARY)
    set_property(TARGET Jq::jq PROPERTY INTERFACE_LINK_LIBRARIES "${Jq_ONIG_LIBRARY}")
  endif()
endif()
