#!/bin/bash
# native.sh: whether this machine's own kernel has what the tests of the kernel data plane need; if not
# it says in one sentence what is missing.
n=fvnative-$$
ip netns add $n || exit 1
trap 'ip netns del $n' EXIT
missing=
try() {
	what=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing${missing:+, }$what"
}
here() { ip netns exec $n "$@"; }
try xfrm_interface ip -n $n link add x1 type xfrm dev lo if_id 7
try ip_gre ip -n $n link add g1 type gre local 192.0.2.1 remote 192.0.2.2
try vrf ip -n $n link add v1 type vrf table 7
try dummy ip -n $n link add d1 type dummy
try tun test -c /dev/net/tun
beet="proto esp spi 0x1001 mode beet aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128"
# shellcheck disable=SC2086
try esp4 ip -n $n xfrm state add src 192.0.2.1 dst 192.0.2.2 $beet
# shellcheck disable=SC2086
try esp6 ip -n $n xfrm state add src 2001:db8::1 dst 2001:db8::2 $beet
try nf_tables here nft add table inet t
try sch_htb here tc qdisc add dev lo root handle 1: htb
try sch_tbf here tc qdisc replace dev lo root handle 2: tbf rate 1mbit burst 5kb limit 10kb
[ -z "$missing" ] || echo "native.sh: Linux $(uname -r) lacks $missing, or does not let this user use it: load the modules, or run make test-kernel without NATIVE=1" >&2
[ -z "$missing" ]
