#!/bin/sh
# test-kernel.sh [native]: runs the tests that need a kernel with XFRM, GRE, VRFs and nftables: all of
# dataplane/kernel, and those of integration that are called TestKernel… . Without "native" they run in
# a virtual machine with Debian's kernel, and their core once more with the newer one of its backports.
set -eu
cd "$(dirname "$0")/../.."
export FLEXVPN_BINARY="$PWD/bin/flexvpn"
run() {
	only=$1
	shift
	go test -count=1 -p 1 -timeout 25m -run "$only" "$@"
}
if [ "${1:-}" = native ]; then
	export FLEXVPN_VM=1
	run . ./dataplane/kernel
	run '^TestKernel' ./integration
	exit
fi
vm="$PWD/deploy/vm/exec.sh"
for kernel in 6.1 6.12; do
	echo "on Linux $kernel:"
	export VMKERNEL=$kernel
	case $kernel in 6.1) some=^TestKernel length= ;; *) some=^TestKernelCore length=-short ;; esac
	run . $length -exec "$vm" ./dataplane/kernel
	run "$some" -skip '^TestKernel(Peer|Template)' -exec "$vm" ./integration
done
# What others' daemons and templates have to show takes machines of its own: one has ten minutes.
export VMKERNEL=6.1
run '^TestKernelPeer' -exec "$vm" ./integration
run '^TestKernelTemplate' -exec "$vm" ./integration
