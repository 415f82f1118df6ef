#!/bin/sh
# fetch.sh VERSION: makes sure that Debian's cloud kernel VERSION (6.1: this release's; 6.12: from its
# backports) and an initramfs for it are in the cache, and prints the folder that holds them as
# vmlinuz and initrd. Nothing is installed; the machine's own sources stay as they are.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=${1:-6.1}
cache=${FLEXVPN_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flexvpn-vm}
# The initramfs is made anew when what makes it changes.
recipe=$(cat "$here/fetch.sh" "$here/initrd.sh" "$here/init" | sha256sum | cut -c1-12)
dir=$cache/$version-$recipe
if [ -e "$dir/done" ]; then
	echo "$dir"
	exit 0
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ ! -e "$dir/done" ] || { echo "$dir"; exit 0; }
rm -rf "$dir"
mkdir -p "$dir/lists/partial" "$dir/archives/partial"

# shellcheck disable=SC1091
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" | head -n 1)
suites=$VERSION_CODENAME
case $version in 6.1) ;; *) suites=$VERSION_CODENAME-backports ;; esac
printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
	"${mirror:-http://deb.debian.org/debian/}" "$suites" >"$dir/suite.sources"
apt() {
	tool=$1
	shift
	"$tool" -qq -o Dir::Etc::sourcelist="$dir/suite.sources" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir" "$@"
}
apt apt-get update >&2
package=$(apt apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2}' | grep -v dbg | tail -n 1)
case $package in
linux-image-"$version".*) ;;
*) echo "fetch.sh: $suites has no cloud kernel $version: its linux-image-cloud-amd64 is ${package:-missing}" >&2; exit 1 ;;
esac
(cd "$dir" && apt apt-get download -o APT::Sandbox::User=root "$package" >&2)
dpkg-deb -x "$dir/$package"_*.deb "$dir/tree"
cp "$dir"/tree/boot/vmlinuz-* "$dir/vmlinuz"
"$here/initrd.sh" "${package#linux-image-}" "$dir/tree" "$dir/initrd"
rm -rf "$dir"/tree "$dir"/*.deb "$dir"/lists "$dir"/archives "$dir"/*.bin
touch "$dir/done"
echo "$dir"
