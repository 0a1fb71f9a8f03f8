#!/bin/sh
# Removes from /opt/vapo what a running part never opens; run by the Dockerfile's stages of the light images (gateway, verifier).
#   - the libraries' own tests and benchmarks: a third of sympy;
#   - ReDoc, a second page for OpenAPI documents that no part serves;
#   - what is there for compilers and editors: headers, static libraries, Cython sources, type stubs, numpy's f2py.
# Licences and package metadata stay. So does compiled bytecode (__pycache__): containers have no right to write it, and
# without it every start compiles anew: a verifier worker then takes 2.8 s of CPU to start instead of 0.9, the gateway 2.0
# instead of 1.2 (45 and 18 MB of the images).
# Its arguments are modules that must import afterwards.
set -eu
cd /opt/vapo/lib/python3*/site-packages
find . -type d \( -name tests -o -name benchmarks -o -name test-examples \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.hpp' -o -name '*.a' -o -name '*.pxd' -o -name '*.pyx' \) -delete
rm -rf numpy/f2py fastapi_offline/static/redoc.standalone.js
for module in "$@"; do /opt/vapo/bin/python -B -c "import $module"; done
