#!/bin/sh
# Installs into /opt/vapo what its arguments ask pip for; run by the Dockerfile's build stages.
# What only the build machine has comes as mounts and ends in no layer: wheel files in /build/wheels, and the
# secrets ca_bundle (certificates) and pip_conf (where packages come from).
set -eu
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_FIND_LINKS=${WHEELS-/build/wheels}
if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi
if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi
exec /opt/tools/bin/pip --no-input --python /opt/vapo/bin/python install "$@"
