# Every library is a Debian package; scripts/setup.sh installs them all.
find_package(OpenMP REQUIRED COMPONENTS CXX)
# libdnnl-dev, without its CMake package: Debian's asks for OpenCL's headers, which nothing here uses.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(DNNL::dnnl SHARED IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION "${DNNL_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${DNNL_INCLUDE_DIR}")
find_package(hwy REQUIRED CONFIG)         # libhwy-dev
find_package(fmt REQUIRED CONFIG)         # libfmt-dev
find_package(ZLIB REQUIRED)               # zlib1g-dev
find_package(PNG REQUIRED)                # libpng-dev
find_package(CLI11 REQUIRED CONFIG)       # libcli11-dev
find_package(Eigen3 REQUIRED CONFIG)        # libeigen3-dev
find_package(nlohmann_json REQUIRED CONFIG) # nlohmann-json3-dev
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h REQUIRED) # librandom123-dev
find_package(benchmark REQUIRED CONFIG)   # libbenchmark-dev
if(TWEEDIE_TESTS)
  find_package(GTest REQUIRED CONFIG)     # libgtest-dev, libgmock-dev
  include(GoogleTest)
endif()
