#!/usr/bin/env bash
# Builds programs of llama.cpp, to measure beside: scripts/peers.sh FOLDER
#
#   FOLDER/bin/llama-bench, llama-perplexity and llama-completion, for this machine's processor
#   FOLDER/llama_cpp_python-0.3.36/vendor/llama.cpp, their source with its licence (MIT)
#
# The source comes from the source archive of a Python package that has all of it. Needs Python 3 with venv and pip, a C++ compiler and
# CMake, which is installed into FOLDER where there is none. What was built is not built again.
set -euo pipefail

fail() {
	printf 'peers.sh: %s\n' "$*" >&2
	exit 1
}

if [ $# != 1 ] || [ -z "$1" ]; then
	fail "want one argument, the folder for the programs"
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
programs=(llama-bench llama-perplexity llama-completion)
package=llama_cpp_python-0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

built() {
	local program
	for program in "${programs[@]}"; do
		[ -x "$folder/bin/$program" ] || return 1
	done
}
if built; then
	echo "$folder/bin: complete"
	exit
fi
command -v python3 >/dev/null || fail "needs python3"
command -v c++ >/dev/null || fail "needs a C++ compiler (Debian: apt-get install g++)"

python3 -m venv "$folder/python" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
pip() { "$folder/python/bin/python" -m pip --disable-pip-version-check "$@"; }
archive=$folder/$package.tar.gz
if ! echo "$sha256  $archive" | sha256sum --check --status 2>/dev/null; then
	echo "fetching $package"
	pip install --quiet scikit-build-core==0.11.6 # pip asks the archive for its name
	echo "llama-cpp-python==${package#*-} --hash=sha256:$sha256" >"$folder/requirements.txt"
	pip download --quiet --no-deps --no-binary :all: --no-build-isolation --require-hashes --dest "$folder" -r "$folder/requirements.txt" ||
		fail "cannot fetch the source archive (pip's words are above): without a network, or a package index that pip is set up for, copy $archive from a machine that has it"
fi
cmake=$(command -v cmake) || { pip install --quiet cmake==4.1.2 && cmake=$folder/python/bin/cmake; }

source=$folder/$package/vendor/llama.cpp
rm -rf "${folder:?}/$package"
tar -xzf "$archive" -C "$folder" "$package/vendor/llama.cpp"
"$cmake" -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_APP=OFF \
	-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_ALL_WARNINGS=OFF >"$folder/cmake.log" 2>&1 ||
	{ tail -n 30 "$folder/cmake.log" >&2; fail "CMake failed; all of it is in $folder/cmake.log"; }
echo "building ${programs[*]}, which takes minutes"
"$cmake" --build "$folder/build" --parallel "$(nproc)" --target "${programs[@]}" >"$folder/build.log" 2>&1 ||
	{ tail -n 30 "$folder/build.log" >&2; fail "the build failed; all of it is in $folder/build.log"; }
mkdir -p "$folder/bin"
for program in "${programs[@]}"; do
	cp "$folder/build/bin/$program" "$folder/bin/$program"
done
echo "$folder/bin: complete"
