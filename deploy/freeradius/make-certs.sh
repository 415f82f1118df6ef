#!/bin/sh
# make-certs.sh NAME: an authority in certs/, the server's certificate for the host NAME, and one for
# a hub that speaks RadSec or a peer that logs in by EAP-TLS. For tests and first steps: keep the key of
# a real authority somewhere else.
set -eu
name=${1:?usage: make-certs.sh NAME}
umask 077
mkdir -p certs
cd certs
ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
# shellcheck disable=SC2086
openssl req -x509 $ec -keyout ca.key -out ca.pem -subj "/CN=FlexVPN RADIUS test authority" -days 365 \
	-addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
for who in server hub; do
	host=$name
	[ $who = hub ] && host=hub1.example.net
	# shellcheck disable=SC2086
	openssl req $ec -keyout $who.key -out $who.csr -subj "/CN=$host" 2>/dev/null
	printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$host" >$who.ext
	openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $who.pem -days 365 -extfile $who.ext 2>/dev/null
	rm $who.csr $who.ext
done
