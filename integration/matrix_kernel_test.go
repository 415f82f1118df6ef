package integration

import "testing"

// The matrix in the kernel, ours and strongSwan's: the lines are those of matrix_test.go. One pair goes
// through them one after the other, for to start daemons in an emulated machine is dear; so each line
// also meets what the one before has left in the kernel. Who is believed, and what is refused before there
// is a key, does not depend on the plane: of that, here is only a sample.

func TestKernelMatrixHubIPv4(t *testing.T)    { kernelMatrix(t, true, false, "") }
func TestKernelMatrixHubIPv6(t *testing.T)    { kernelMatrix(t, true, true, "ecdsa") }
func TestKernelMatrixClientIPv4(t *testing.T) { kernelMatrix(t, false, false, "ecdsa") }
func TestKernelMatrixClientIPv6(t *testing.T) { kernelMatrix(t, false, true, "") }

// kernelMatrix holds the lines for a role and a transport.
func kernelMatrix(t *testing.T, hub, v6 bool, cert string) {
	needKernel(t)
	p := newPair(t, hub, v6, cert)
	p.plane = "kernel"
	p.start()
	for _, line := range []struct {
		name string
		run  func(*pair)
		with bool
	}{
		{"Traffic", carriesTraffic, true},
		{"ChildRekeyByStrongSwan", childRekeyByStrongSwan, true},
		{"ChildRekeyByUs", childRekeyByUs, true},
		{"IKERekeyByStrongSwan", ikeRekeyByStrongSwan, true},
		{"IKERekeyByUs", ikeRekeyByUs, true},
		{"DeleteByStrongSwan", deleteByStrongSwan, true},
		{"DeleteByUs", deleteByUs, true},
		{"WrongSecret", wrongSecret, cert == ""},
		{"NoCommonProposal", noCommonProposal, hub}, // a client believes it after seconds only: it is not proven
		{"UnknownIdentity", unknownIdentity, hub},
	} {
		if !line.with {
			continue
		}
		t.Run(line.name, func(t *testing.T) {
			p.in(t)
			p.usual()
			line.run(p)
		})
	}
}
