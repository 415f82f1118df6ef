// Package iketest is a language for tests of the IKEv2 engine: two ends, a link whose datagrams the
// test moves by hand or lets fall, virtual time that is a plain variable, and an outside world that
// answers every question unless the test says otherwise.
//
//	p := iketest.NewPair(t)
//	p.Spoke.Initiate()
//	p.Drop("IKE_SA_INIT request 0", "the first request is lost")
//	p.Tick()
//	p.Deliver()
//	iketest.Want[ikev2.Established](p.Hub, "the exchange goes on as if nothing had happened")
//
// When a test fails, the decoded transcript of the whole conversation is printed.
package iketest
