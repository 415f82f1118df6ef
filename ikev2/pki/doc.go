// Package pki proves identities by certificates: it verifies a peer's chain and the identity it
// claims, and makes and checks the signatures of the AUTH payload (RFC 7296 section 2.15, RFC 7427,
// RFC 4754, RFC 8420). It does no I/O, reads no clock and keeps no state. All that a peer sends is
// taken as hostile: counts and sizes are bounded before anything is computed.
//
// Not here: revocation (CRL, OCSP) and fetching of certificates by URL.
package pki
