#!/bin/bash
# test-kernel.sh [native]: runs the tests that need a kernel with XFRM, GRE, VRFs and nftables: all of
# dataplane/kernel, and those of integration that are called TestKernel… . Without "native" they run in
# virtual machines with Debian's kernel, and their core once more with the newer one of its backports.
#
#   RUN=REGEXP   only tests whose names match
#   LANES=2      so many machines at a time: each keeps about one core busy
set -u
cd "$(dirname "$0")/../.." || exit 1
export FLEXVPN_BINARY="$PWD/bin/flexvpn" CGO_ENABLED=0
[ "${1:-}" != native ] || ./deploy/vm/native.sh || exit 1
vm="$PWD/deploy/vm/exec.sh"
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

for package in dataplane/kernel integration; do
	go test -c -o "$said/$(basename $package).test" ./$package || exit 1
done

# names PACKAGE REGEXP: its tests with such a name, of those that are wanted.
names() {
	(cd "$1" && "$said/$(basename "$1").test" -test.list "$2") | grep '^Test' | grep -E -e "${RUN:-.}"
}

# job KERNEL PACKAGE TESTS [FLAG…]: runs some tests. Only the result of each is shown when all pass.
job() {
	kernel=$1 package=$2 only="^($3)\$" begun=$SECONDS out=$(mktemp "$said/XXXXXX")
	shift 3
	(
		cd "$package" || exit 1
		set -- "$said/$(basename "$package").test" -test.run "$only" -test.v -test.timeout 20m -test.paniconexit0 "$@"
		if [ "$kernel" = native ]; then FLEXVPN_VM=native "$@"; else VMKERNEL=$kernel "$vm" "$@"; fi
	) >"$out" 2>&1
	status=$?
	text=$(if [ $status = 0 ]; then grep -e '^--- ' -e '^testing: warning' "$out"; else cat "$out"; fi)
	[ $status = 0 ] || touch "$said/failed"
	printf '%s on Linux %s, %d s:\n%s\n' "$package" "$kernel" $((SECONDS - begun)) "$text"
}

# deal N: deals lines to N hands, and prints a hand a line, with | between. It is how tests are spread
# over machines: one that is new has its place by itself.
deal() { awk -v n="$1" '{ i = NR % n; hand[i] = hand[i] (hand[i] ? "|" : "") $0 } END { for (i in hand) print hand[i] }'; }

if [ "${1:-}" = native ]; then
	for package in dataplane/kernel integration; do
		all=$(names $package "$([ $package = integration ] && echo ^TestKernel || echo .)" | deal 1)
		[ -z "$all" ] || job native $package "$all"
	done
	[ ! -e "$said/failed" ]
	exit
fi

# The longest first; each machine that is done leaves its lane to the next.
{
	names integration ^TestKernel | deal 4 | sed 's|^|6.1 integration |'
	names dataplane/kernel . | deal 1 | sed 's|^|6.1 dataplane/kernel |'
	names integration ^TestKernelCore | deal 1 | sed 's|^|6.12 integration |'
	names dataplane/kernel . | deal 1 | sed 's|^\(.*\)|6.12 dataplane/kernel \1|'
} >"$said/jobs"
export said vm
export -f job
xargs -r -P "${LANES:-2}" -L 1 bash -c 'job "$@"' job <"$said/jobs"
[ ! -e "$said/failed" ]
