#!/bin/sh
# Installs the service into FOLDER, as the image has it: the locked packages, and a wheel of the tree at SOURCE.
#
#     sh deploy/docker/install.sh SOURCE FOLDER
#
# The Dockerfile runs this script, and so does the test of what the image runs (tests/deploy/test_image.py).
set -eu
source=$1
folder=$2
python=${PYTHON:-python3}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

"$python" -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    -r "$source/requirements/uv.txt" -r "$source/requirements/build.txt"
"$tools/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir "$tools/wheel" "$source"

"$python" -m venv --without-pip "$folder"
export UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
"$tools/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps --require-hashes --only-binary :all: \
    -r "$source/requirements/image.txt"
"$tools/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps "$tools"/wheel/hannun-*.whl
