#!/usr/bin/env bash
# Runs the kernels of bitnet/packed for AVX2, AVX-VNNI and AVX-512 VNNI in an emulated processor, whatever this machine's has:
#   scripts/avx512.sh FOLDER
# FOLDER gets the emulator (Bochs, of Python's registry), and the program with the kernels in it. Needs Go, a C compiler and Python 3.11.
set -euo pipefail
[ $# = 1 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

python3 -m venv "$folder/python"
echo 'bochscpu-python==0.4.0 --hash=sha256:08297de4c657fcda712c66745388cf81cd056e01083473c44868b96f6ea020ad' >"$folder/requirements.txt"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$folder/requirements.txt"
cc -shared -fPIC -O1 -o "$folder/model.so" scripts/avx512/model.c -ldl
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go test -c -o "$folder/packed.test" ./bitnet/packed
LD_PRELOAD=$folder/model.so "$folder/python/bin/python" -B scripts/avx512/kernels.py "$folder/packed.test"
