#!/bin/bash
# exec.sh PROGRAM ARGUMENT…: runs a program of this machine as root in a virtual machine with
# Debian's kernel, and returns its output and exit status. It is meant for `go test -exec`. The machine
# ends with whoever started it.
#
# The machine sees this host's files (read-only, changes are lost) and starts in the same folder. What
# a test leaves in $FLEXVPN_ARTIFACTS is copied to artifacts/ of the repository if it fails, with the
# console and a dump of the kernel's state.
#
#   VMKERNEL=6.1|6.12   which kernel (default 6.1)
#   VMTIMEOUT=1500      seconds after which the machine is given up
#   VMMEM=1024 VMSMP=1  its memory in MiB and its processors: with more than one, emulated instructions
#                       cost twice as much
#   VMACCEL=kvm         faster where KVM works; it is not used by itself, because nested it may hang
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=${VMKERNEL:-6.1} memory=${VMMEM:-1024}
images=$("$here/fetch.sh" "$kernel") || exit 125
daemon=
for d in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do [ ! -x $d ] || { daemon=$d; break; }; done
[ -n "$daemon" ] || { echo "exec.sh: there is no virtiofsd: install qemu-system-x86" >&2; exit 125; }

work=$(mktemp -d)
mkdir -p "$work/out/artifacts"
started=
# keep copies what a failed run left to artifacts/, and tells where.
name=$(basename "$1") only=
keep() {
	to=$here/../../artifacts/vm-$name$only-$kernel
	rm -rf "$to"
	mkdir -p "$to"
	cp -r "$work/out/artifacts/." "$work/console" "$work/virtiofsd.log" "$to/"
	(cd "$to" && pwd)
}
ended=
clean() {
	[ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" # a signal ended this script
	[ -n "$ended" ] || [ ! -e "$work/console" ] || keep >/dev/null
	# shellcheck disable=SC2086
	[ -z "$started" ] || kill $started 2>/dev/null
	rm -rf "$work"
}
trap clean EXIT

# Whoever started this may be killed (go test is, by its own time-out or an impatient person), or this
# script itself: no machine may stay behind then, nor what it left be lost.
parent=$PPID
watch() {
	trap '' HUP INT QUIT TERM
	while [ "$(sed -n 's/^PPid:\t//p' "/proc/$$/status" 2>/dev/null)" = "$parent" ]; do sleep 1; done
	[ -d "$work" ] || return # the usual end
	echo "exec.sh: whoever started this machine is gone" >>"$work/console"
	kill "$(cat "$work/pid")"
	for _ in $(seq 10); do
		[ -d "/proc/$$" ] || break # else this script does the rest itself
		sleep 1
	done
	[ ! -d "$work" ] || clean
}

# The command, with its arguments quoted; a coverage profile comes back by /out.
profile= command=
for argument in "$@"; do
	case $argument in
	-test.coverprofile=*) profile=${argument#*=} argument=-test.coverprofile=/out/profile ;;
	-test.run=*) only=-$(echo "${argument#*=}" | tr -cd a-zA-Z0-9) ;;
	esac
	command="$command $(printf %q "$argument")"
done
{
	echo 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin HOME=/root TMPDIR=/tmp'
	echo 'export FLEXVPN_VM=machine FLEXVPN_ARTIFACTS=/out/artifacts'
	for v in FLEXVPN_BINARY FLEXVPN_LAB FLEXVPN_FIGURES FLEXVPN_SOAK; do [ -z "${!v:-}" ] || printf 'export %s=%q\n' "$v" "${!v}"; done
	printf 'cd %q || exit 125\n' "$PWD"
	echo "$command"
	echo 'status=$?'
	printf '[ $status = 0 ] || %q >/out/artifacts/state.txt 2>&1\n' "$here/dump.sh"
	echo 'exit $status'
} >"$work/out/command"

cache=always # nobody changes what a test reads of this host while it runs
for share in root:/ out.sock:"$work/out"; do
	"$daemon" --socket-path="$work/${share%%:*}" -o source="${share#*:}" -o cache="$cache" -o sandbox=chroot >>"$work/virtiofsd.log" 2>&1 &
	started="$started $!"
	cache=auto
done
watch </dev/null >/dev/null 2>&1 &
for _ in $(seq 500); do
	[ -S "$work/root" ] && [ -S "$work/out.sock" ] && break
	sleep .02
done
# QEMU's emulation of cmpxchg16b makes 6.12 crash at boot now and then: the machine lacks it. Fast string
# instructions are emulated octet by octet, so that clearing a page is slow with them. A machine that
# is not given a processor for a while fails the timer check of its boot: there is none.
timeout -k 5 "${VMTIMEOUT:-1500}" qemu-system-x86_64 -M q35 -accel "${VMACCEL:-tcg,thread=multi}" -cpu max,-cx16,-erms,-fsrm \
	-smp "${VMSMP:-1}" -m "$memory" -object memory-backend-memfd,id=mem,size="${memory}M",share=on -numa node,memdev=mem \
	-chardev socket,id=root,path="$work/root" -device vhost-user-fs-pci,chardev=root,tag=root \
	-chardev socket,id=out,path="$work/out.sock" -device vhost-user-fs-pci,chardev=out,tag=out -pidfile "$work/pid" \
	-nodefaults -no-user-config -display none -no-reboot -serial stdio -kernel "$images/vmlinuz" -initrd "$images/initrd" \
	-append "console=ttyS0 quiet panic=-1 printk.devkmsg=on no_timer_check" </dev/null 2>&1 | stdbuf -oL tr -d '\r' | tee "$work/console" |
	sed -u -e '/^VMEXIT /d' -e '/reboot: Power down/d' -e '/alg: No test for /d'
ended=1
status=$(sed -n 's/.*VMEXIT \([0-9]*\)$/\1/p' "$work/console" | tail -n 1)
[ -z "$profile" ] || [ ! -f "$work/out/profile" ] || cp "$work/out/profile" "$profile"
if [ "${status:-125}" != 0 ]; then
	[ -n "$status" ] || echo "exec.sh: the machine ended without an exit status: it crashed or took longer than ${VMTIMEOUT:-1500} s" >&2
	echo "exec.sh: console, decoded exchanges, state of the kernel and what else the test left: $(keep)" >&2
fi
exit "${status:-125}"
