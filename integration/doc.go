// Package integration tests flexvpn against real peers: strongSwan as initiator and responder, in
// network namespaces that each test makes. It needs root and the Debian packages that `make test`
// installs; what is missing fails the tests.
package integration
