#!/bin/bash
# initrd.sh RELEASE TREE OUT: an initramfs of busybox and the modules of the kernel package that is
# unpacked in TREE. Whole folders of modules and their tables are enough: the kernel asks modprobe for
# what it needs. It is not compressed, because the emulated machine would unpack slowly.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
release=$1 from=$2/lib/modules/$1 out=$3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
to=$root/lib/modules/$release
mkdir -p "$root"/{bin,sbin,proc,sys,dev,run,tmp} "$to/kernel"
for part in net crypto arch/x86/crypto lib fs/fuse fs/overlayfs drivers/virtio drivers/char/virtio_console.ko* \
	drivers/net/{veth,vrf,tun,dummy,ifb,macvlan,virtio_net,net_failover}.ko* drivers/net/{ipvlan,vxlan,bonding}; do
	for file in "$from"/kernel/$part; do
		[ -e "$file" ] || continue
		mkdir -p "$to/kernel/$(dirname "$part")"
		cp -r "$file" "$to/kernel/$(dirname "$part")/"
	done
done
find "$to" -name '*.ko.xz' -exec xz -d {} +
cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
depmod -b "$root" "$release"
cp /bin/busybox "$root/bin/"
ln -s ../bin/busybox "$root/sbin/modprobe"
install -m 755 "$here/init" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$out"
