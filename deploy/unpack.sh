#!/bin/sh
# unpack.sh PACKAGE FOLDER: downloads a Debian package and unpacks it into FOLDER, without installing
# it: for a peer of the tests that Debian lets nobody install beside another one.
set -eu
[ ! -e "$2/done" ] || exit 0
mkdir -p "$2.new"
cd "$2.new"
apt-get -qq -o APT::Sandbox::User=root download "$1"
dpkg-deb -x "$1"_*.deb .
rm "$1"_*.deb
touch done
rm -rf "$2"
mv "$2.new" "$2"
