# CUDA where nvcc is found (HADAL_CUDA=OFF forgoes it). The runtime is linked statically, so the
# binary starts on machines without a driver.
set(HADAL_CUDA_ARCHITECTURES "90a" CACHE STRING
  "cards to compile for; a release has 80;89;90a;100;120 and code for later ones: 80-real;89-real;90a-real;100-real;120")
find_program(HADAL_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda/bin)
set(default ON)
if(NOT HADAL_NVCC)
  set(default OFF)
endif()
option(HADAL_CUDA "build the GPU backend" ${default})
if(HADAL_CUDA)
  set(CMAKE_CUDA_COMPILER ${HADAL_NVCC})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  set(CMAKE_CUDA_ARCHITECTURES ${HADAL_CUDA_ARCHITECTURES})
  if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 12 and later do
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  find_package(CUDAToolkit REQUIRED)
  # As on the CPU, every operation keeps its written order: products are fused where fmaf says so.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;--expt-relaxed-constexpr>")
endif()
