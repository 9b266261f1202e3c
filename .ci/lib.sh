# What run and long share. Sourced in the root of the checkout.

shared=$(dirname "$PWD")/shared
scratch=$(mktemp -d)
plugins=$scratch/home/.local/share/bitdistill/plugins/cpu # the CPU plugin of XLA, and nothing else
current=start

trap 'finish $?' EXIT

finish() {
	rm -rf "$scratch"
	if [ "$1" = 0 ]; then
		printf '\n== passed in %s\n' "$(clock)"
	else
		printf '\n== FAILED after %s in: %s\n' "$(clock)" "$current"
	fi
}

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# step NAME starts a part, with the time that has passed.
step() {
	current=$*
	printf '\n== %s [%s]\n' "$*" "$(clock)"
}

fail() {
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}

# readme NAME prints the commands of the fenced block behind <!-- ci:NAME --> in README.md.
readme() {
	local commands
	commands=$(awk -v mark="<!-- ci:$1 -->" '
		$0 == mark { found = 1; next }
		found && /^```/ { if (inside) exit; inside = 1; next }
		inside' README.md)
	[ -n "$commands" ] || fail "README.md has no block ci:$1"
	printf '%s\n' "$commands"
}

# as_written NAME runs that block line by line as a newcomer would type it.
as_written() {
	local commands
	commands=$(readme "$1")
	bash -euxo pipefail -c "$commands"
}

# go_test ARGUMENTS is `go test -v` that shows a line a package, all of a failure, and fails on a skipped test too.
go_test() {
	local log=$scratch/test.log
	if ! go test -v "$@" >"$log" 2>&1; then
		grep -vE '^ *(=== |--- PASS|PASS$)' "$log" | tail -n 300
		fail "go test $*"
	fi
	grep -E '^(ok|\?) ' "$log"
	if grep -E '^ *--- SKIP' "$log"; then
		fail "tests were skipped"
	fi
	grep '^ok ' "$log" | grep -qv 'no tests to run' || fail "no test ran"
}

# fuzz TIME fuzzes every target of the module for that long, a core each.
fuzz() {
	local list
	list=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[++n] = $1 } /^(ok|\?)/ { for (i = 1; i <= n; i++) print names[i], $2; n = 0 }')
	[ -n "$list" ] || fail "no fuzz target found"
	export -f fuzz_one
	export scratch
	xargs -L 1 -P "$(nproc)" bash -c 'fuzz_one "$@"' fuzz_one "$1" <<<"$list" || fail "a fuzz target"
}

# fuzz_one TIME TARGET PACKAGE prints the last line of a target, or all if it fails. Inputs are not minimized: where the machine is
# busy, Go reports one as failing whose minimization was cut short.
fuzz_one() {
	local log=$scratch/${3//\//.}.$2.log
	if ! go test -run '^$' -fuzz "^$2\$" -fuzztime "$1" -fuzzminimizetime 0x -parallel 1 "$3" >"$log" 2>&1; then
		# The fuzzer may report the end of its own time as an error; a finding always names its input.
		if grep -q 'Failing input' "$log" || ! grep -q 'context deadline exceeded' "$log"; then
			echo "$2 $3"
			cat "$log"
			return 1
		fi
	fi
	printf '%s %s: %s, %s\n' "$2" "$3" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)" "$(tail -n 1 "$log")"
}

# install_xla puts the plugin into $plugins, of a home folder of its own; PJRT_PLUGIN_LIBRARY_PATH=$plugins lets a program find it.
install_xla() {
	go build -o "$scratch/bitdistill" ./cmd/bitdistill
	HOME=$scratch/home "$scratch/bitdistill" doctor --install xla | sed "s|$scratch/||"
	ls -l "$plugins"/*.so | sed "s|$scratch/||"
}

# apt_install PACKAGE... installs programs of Debian's, in the distribution's versions.
apt_install() {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >"$scratch/apt.log" 2>&1 || { tail -n 30 "$scratch/apt.log"; fail "apt-get install $*"; }
}
