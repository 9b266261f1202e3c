#!/usr/bin/env bash
# Builds the images without a Docker engine and without a registry of images, and uses the CPU one as people do, offline:
#
#	bash docker/test.sh
#
# Needs root on Debian 12 (it installs podman, runc, debootstrap, docker-compose and shellcheck of the distribution), Go of the
# Dockerfile's version, the network, and 15 GB. Both base images are made here: Debian's by debootstrap from apt's mirror, Go's
# from this machine's Go. They carry this machine's certificates and settings of Go and pip, which a build inside needs as well.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}
step() { printf '\n== %s [%d:%02d]\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

[ "$(id -u)" = 0 ] || fail "this test makes a system with debootstrap and starts containers, so it has to run as root"
release=$(sed -n 's/^ARG BASE=debian:\([a-z]*\).*/\1/p' docker/Dockerfile)
go_version=$(sed -n 's/^ARG GO=golang:\([0-9.]*\)-.*/\1/p' docker/Dockerfile)
[ "$(go env GOVERSION)" = "go$go_version" ] || fail "the Dockerfile wants Go $go_version, and this machine has $(go env GOVERSION)"

# settings keeps podman to the scratch folder, and lets it start containers where limits cannot be raised.
settings() {
	export CONTAINERS_STORAGE_CONF=$scratch/storage.conf CONTAINERS_CONF=$scratch/containers.conf DISABLE_HC_SYSTEMD=true TMPDIR=$scratch
	cat >"$CONTAINERS_STORAGE_CONF" <<-END
		[storage]
		driver = "${STORAGE_DRIVER:-overlay}"
		graphroot = "$scratch/images"
		runroot = "$scratch/run"
	END
	cat >"$CONTAINERS_CONF" <<-END
		[containers]
		default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$scratch/libpod"
	END
}

scratch=$(mktemp -d)
settings # before anything of podman's is removed
trap clean EXIT
clean() {
	podman rm --all --force --time 0 >"$scratch/clean.log" 2>&1 || cat "$scratch/clean.log"
	awk -v below="$scratch/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount
	rm -rf --one-file-system "$scratch"
}

# bases makes what stands in for the two images that the Dockerfile starts from.
bases() {
	local mirror root=$scratch/root
	# shellcheck disable=SC2016 # apt's own variable
	mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $release" 'Origin: Debian' 'Created-By: Packages' | sed -n 1p)
	[ -n "$mirror" ] || fail "apt knows no mirror of Debian $release"
	debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$mirror" >"$scratch/debootstrap.log" ||
		{ tail -n 30 "$scratch/debootstrap.log"; fail "debootstrap"; }
	# as the slim images of Debian are
	rm -rf "$root"/usr/share/{doc,man,info,locale}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
	cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
	{
		echo '[global]'
		python3 -m pip config list | sed -nE "s/^(global|:env:)\.(cert|index-url|extra-index-url|trusted-host|proxy)='(.*)'$/\2 = \3/p" | sort -u
	} >"$root/etc/pip.conf"
	tar -C "$root" -c . | podman import --quiet - localhost/base:latest
	go_image "$root"
}

# go_image adds Go to a system, with this machine's settings for modules.
go_image() {
	cp -a "$(go env GOROOT)" "$1/usr/local/go"
	printf '%s=%s\n' GOPROXY "$(go env GOPROXY)" GOSUMDB "$(go env GOSUMDB)" GONOSUMDB "$(go env GONOSUMDB)" GOTOOLCHAIN local >"$1/usr/local/go/go.env"
	tar -C "$1" -c . | podman import --quiet - localhost/golang:latest
	rm -rf "$1"
}

# build DEVICE builds an image and prints what it took.
build() {
	local start=$SECONDS log=$scratch/build-$1.log
	podman build --network host --format docker -f docker/Dockerfile --build-arg DEVICE="$1" --build-arg BASE=localhost/base \
		--build-arg GO=localhost/golang -t "localhost/bitdistill:$1" . >"$log" 2>&1 || { tail -n 60 "$log"; fail "build of the image for $1"; }
	printf '%s: built in %d s, %d MB\n' "$1" $((SECONDS - start)) $(($(podman image inspect --format '{{.Size}}' "localhost/bitdistill:$1") / 1000000))
	podman history --format '{{.Size}}	{{.CreatedBy}}' "localhost/bitdistill:$1" | grep -v '^0 B' | cut -c 1-120
}

# offline ARGUMENTS runs a container of the CPU image without network, with volumes for runs and models.
offline() { podman run --rm --network none -v runs:/opt/bitdistill/runs -v models:/opt/bitdistill/models localhost/bitdistill:cpu "$@"; }

# within SECONDS COMMAND... waits until the command succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >"$scratch/within.log" 2>&1; do
		[ $SECONDS -lt $end ] || { cat "$scratch/within.log"; fail "in time: $*"; }
		sleep 0.5
	done
}

# status PATH prints the code that Jupyter in the container answers with, asked inside, since the container has no network.
status() {
	podman exec jupyter python3 -c '
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:8888" + sys.argv[1], timeout=10).status)
except urllib.error.HTTPError as e:
    print(e.code)' "$1"
}

# tour runs the first notebook with more ARGUMENTS and prints when its first cell was done, counted from the container's start.
tour() {
	local start=$EPOCHREALTIME line first='' last=''
	while read -r line; do
		printf '%s\n' "$line"
		last=$line
		if [ -z "$first" ] && [[ $line == *': cell '*' ok, '* ]]; then
			first=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
		fi
	done < <(offline notebook run notebooks/00-tour.ipynb -p STEPS=2 -p ROWS=20 "$@" 2>&1 || echo 'exit status not 0')
	[[ $last != 'exit status not 0' && -n $first ]] || fail "the first notebook"
	printf 'first cell after %d ms, all after %d ms\n' "$first" $(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
	[ "$first" -lt 30000 ] || fail "the first cell took more than 30 s"
}

# jupyter_test starts what the image does by default.
jupyter_test() {
	local token start=$SECONDS
	podman run -d --name jupyter --network none localhost/bitdistill:cpu >"$scratch/id"
	within 60 podman healthcheck run jupyter
	printf 'healthy after %d s\n' $((SECONDS - start))
	token=$(podman logs jupyter 2>&1 | sed -n 's/.*?token=\([0-9a-f]*\).*/\1/p' | sed -n 1p)
	[ ${#token} = 48 ] || fail "Jupyter printed no token: $(podman logs jupyter 2>&1 | tail -n 20)"
	[ "$(status /api/contents)" = 403 ] || fail "without the token Jupyter answers $(status /api/contents), not 403"
	[ "$(status "/api/contents?token=wrong")" = 403 ] || fail "Jupyter takes a wrong token"
	[ "$(status "/api/contents/notebooks/00-tour.ipynb?token=$token")" = 200 ] || fail "with the token Jupyter does not show the first notebook"
	[ "$(status "/lab?token=$token")" = 200 ] || fail "no JupyterLab with the token"
	[ "$(status "/api/kernelspecs/gonb?token=$token")" = 200 ] || fail "Jupyter does not know the Go kernel"
	podman exec -i jupyter python3 - "$token" <docker/kernel.py
	start=$SECONDS
	podman stop --time 30 jupyter >"$scratch/id"
	[ "$(podman inspect --format '{{.State.ExitCode}}' jupyter)" != 137 ] || fail "Jupyter had to be killed"
	printf 'stopped in %d s\n' $((SECONDS - start))
	podman run -d --replace --name jupyter --network none localhost/bitdistill:cpu notebook lab -- -y --no-browser --port=9999 >"$scratch/id"
	sleep 5
	if podman healthcheck run jupyter >"$scratch/health" 2>&1; then fail "healthy, though nothing answers"; fi
	podman rm --force --time 10 jupyter >"$scratch/id"
}

# cuda_test goes as far as one gets without a GPU: the plugin and NVIDIA's libraries miss nothing but the driver.
cuda_test() {
	podman run --rm --network none localhost/bitdistill:cuda version
	podman run --rm --network none localhost/bitdistill:cuda doctor | tee "$scratch/doctor"
	grep -q 'no NVIDIA GPU found' "$scratch/doctor" || fail "doctor does not miss the GPU"
	podman run --rm --network none --entrypoint sh localhost/bitdistill:cuda -ec '
		cd /usr/local/lib/python3.11/dist-packages
		python3 -c "import ctypes; ctypes.CDLL(\"$PWD/jax_plugins/xla_cuda13/xla_cuda_plugin.so\").GetPjrtApi"
		nvidia/cu13/bin/ptxas --version
		# what NVSHMEM loads for networks between hosts, where there are any, is not asked for
		find . -name "*.so*" -type f ! -name "nvshmem_bootstrap_*" ! -name "nvshmem_transport_*" -exec ldd {} + 2>&1 | grep "not found" | sort | uniq -c' | tee "$scratch/missing"
	if grep 'not found' "$scratch/missing" | grep -vE 'libcuda\.so\.1|libnvidia-ml\.so\.1'; then fail "libraries are missing"; fi
}

step "programs"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends podman runc debootstrap docker-compose shellcheck >"$scratch/apt.log" 2>&1 ||
	{ tail -n 30 "$scratch/apt.log"; fail "apt-get install"; }
shellcheck docker/test.sh docker/healthy
docker-compose -f docker/compose.yaml --profile cuda config >"$scratch/compose"

step "base images"
bases

step "image for the CPU"
build cpu
[ "$(podman image inspect --format '{{len .HealthCheck.Test}}' localhost/bitdistill:cpu)" != 0 ] || fail "no health check in the image"

step "headless, offline"
offline version
offline doctor | tee "$scratch/doctor"
grep -q '^auto .*backend xla:cpu: .*dist-packages' "$scratch/doctor" || fail "doctor does not choose XLA"
user=$(podman run --rm --entrypoint id localhost/bitdistill:cpu -u)
[ "$user" = 1000 ] || fail "the image runs as user $user"
tour --out runs/tour.ipynb
tour --out runs/on-xla.ipynb -p BACKEND=xla:cpu

step "a run in one container, its report in another"
few=()
for training in fine_tune bitnet_sft stage2 stage3; do few+=(--set "$training.steps=3"); done
offline run --backend xla:cpu --out runs/few "${few[@]}" >"$scratch/run.log" 2>&1 || { tail -n 30 "$scratch/run.log"; fail "run"; }
offline report runs/few

step "Jupyter"
jupyter_test

step "image for CUDA"
build cuda
cuda_test

printf '\npassed in %d s\n' "$SECONDS"
