#!/bin/sh
# test-kernel.sh [native]: runs the tests that need a kernel with XFRM, GRE, VRFs and nftables: all of
# dataplane/kernel, and those of integration that are called TestKernel… . Without "native" they run in
# virtual machines with Debian's kernel, and their core once more with the newer one of its backports.
# Two machines run at a time: each keeps about one core busy.
set -u
cd "$(dirname "$0")/../.."
export FLEXVPN_BINARY="$PWD/bin/flexvpn"
if [ "${1:-}" = native ]; then
	export FLEXVPN_VM=1
	go test -count=1 -p 1 -timeout 25m ./dataplane/kernel && go test -count=1 -p 1 -timeout 25m -run '^TestKernel' ./integration
	exit
fi
vm="$PWD/deploy/vm/exec.sh"
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

# machine KERNEL PACKAGE TESTS [FLAG…]: a virtual machine of its own for some tests; what it says is
# shown in one piece.
machine() {
	kernel=$1 package=$2 only=$3
	shift 3
	out="$said/$kernel-$(echo "$package$only" | tr -c 'a-zA-Z0-9' _)"
	VMKERNEL=$kernel go test -count=1 -timeout 25m -run "$only" "$@" -exec "$vm" "$package" >"$out" 2>&1 || : >"$said/failed"
	echo "on Linux $kernel, $only: $(cat "$out")"
}

{
	machine 6.1 ./dataplane/kernel .
	machine 6.12 ./dataplane/kernel . -short
	machine 6.1 ./integration '^TestKernelTemplate'
	machine 6.1 ./integration '^TestKernelPeer'
} &
{
	machine 6.1 ./integration '^TestKernel' -skip '^TestKernel(Peer|Template)'
	machine 6.12 ./integration '^TestKernelCore'
} &
wait
[ ! -e "$said/failed" ]
