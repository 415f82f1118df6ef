package radius

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/store"
)

func (r *rig) accountant(s store.Store) *Accountant {
	r.t.Helper()
	a, err := r.Accountant(s)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func record(session string, kind authz.RecordKind) authz.Record {
	return authz.Record{Group: "g", Kind: kind, At: time.Now(), User: "user " + session, Session: authz.SessionFacts{
		ID: session, AuditID: "L2L4", Identity: "spoke1.example.net", Interface: "va1", Number: 7,
		Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("192.0.2.2:4500"),
	}}
}

func closeNow(t *testing.T, a *Accountant) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}

// "64-bit counters (Gigawords)", addresses, Class, cause: what a Stop says.
func TestStopRecord(t *testing.T) {
	f := startFake(t, answerWith(radius.CodeAccountingResponse))
	r := newRig(t, time.Minute, f.server("r1"))
	a := r.accountant(store.Memory())
	stop := record("A1", authz.RecordStop)
	stop.Local = true
	stop.Duration, stop.Cause = 90*time.Second, authz.CauseIdleTimeout
	stop.InputOctets, stop.OutputOctets, stop.InputPackets, stop.OutputPackets = 5<<32+17, 3<<32+9, 11, 12
	stop.Attributes.Address = authz.Value[netip.Addr]{V: netip.MustParseAddr("10.1.1.2"), Origin: "pool"}
	stop.Attributes.Address6 = authz.Value[netip.Addr]{V: netip.MustParseAddr("2001:db8::2"), Origin: "pool"}
	stop.Attributes.Class = authz.Value[[]string]{V: []string{"gold", "\x00\x01"}, Origin: "radius"}
	a.Account(stop)
	eventually(t, "it is delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
	raw := f.octets()[0]
	p, err := openRequest(raw, f.key, true)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[radius.Type]uint32{
		attrAcctStatusType: 2, attrAcctTerminate: 4, attrAcctInputOctets: 17, attrAcctInputGiga: 5, attrAcctOutputOctets: 9, attrAcctOutputGiga: 3,
		attrAcctInputPackets: 11, attrAcctOutputPackets: 12, attrAcctSessionTime: 90, attrNASPort: 7, attrAcctDelayTime: 0, attrNASPortType: portVirtual, attrAcctAuthentic: 2,
	} {
		if got, err := radius.Integer(p.Get(n)); err != nil || got != want {
			t.Errorf("attribute %d is %d, %v, want %d", n, got, err, want)
		}
	}
	for n, want := range map[radius.Type]string{
		attrUserName: "user A1", attrAcctSessionID: "A1", attrCallingStationID: "192.0.2.2", attrNASPortID: "va1", attrFramedIPAddress: "\x0a\x01\x01\x02",
		attrClass: "gold",
	} {
		if got := string(p.Get(n)); got != want {
			t.Errorf("attribute %d is %q, want %q", n, got, want)
		}
	}
	classes := 0
	for _, attr := range p.Attributes {
		if attr.Type == attrClass {
			classes++
		}
	}
	if classes != 2 || len(p.Get(attrFramedIPv6Address)) != 16 {
		t.Errorf("%d Class, and Framed-IPv6-Address %x", classes, p.Get(attrFramedIPv6Address))
	}
}

// what the fake got: session and status in order.
func (f *fakeServer) accounted() (out []string) {
	seen := map[string]bool{}
	for _, p := range f.requests() {
		if p.Code == radius.CodeAccountingRequest {
			n, _ := radius.Integer(p.Get(attrAcctStatusType))
			line := fmt.Sprintf("%s/%d", p.Get(attrAcctSessionID), n)
			if !seen[line] { // a retransmission is no record
				seen[line] = true
				out = append(out, line)
			}
		}
	}
	return out
}

// While no server answers records wait on disk, over a restart too; then they arrive in order.
func TestRecordsWaitOnDisk(t *testing.T) {
	f := startFake(t, silent)
	s := f.server("r1")
	s.Timeout, s.Tries = 20*time.Millisecond, 1
	disk := store.Memory()
	first := newRig(t, time.Second, s)
	a := first.accountant(disk)
	for _, kind := range []authz.RecordKind{authz.RecordStart, authz.RecordInterim, authz.RecordStop} {
		a.Account(record("A1", kind))
		a.Account(record("B2", kind))
	}
	closeNow(t, a)
	first.Close()
	kept := 0
	if err := disk.ForEach(acctBucket, func(_, _ []byte) error { kept++; return nil }); err != nil || kept != 6 {
		t.Fatalf("%d records are on disk, %v", kept, err)
	}
	f.setAnswer(answerWith(radius.CodeAccountingResponse))
	second := newRig(t, time.Second, s)
	a = second.accountant(disk)
	a.Account(record("A1", authz.RecordOff))
	eventually(t, "all are delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	place := map[string]int{}
	for i, line := range f.accounted() {
		place[line] = i + 1
	}
	for _, session := range []string{"A1", "B2"} {
		if !(place[session+"/1"] > 0 && place[session+"/1"] < place[session+"/3"] && place[session+"/3"] < place[session+"/2"]) {
			t.Errorf("the records of %s are out of order: %v", session, f.accounted())
		}
	}
	closeNow(t, a)
	if err := disk.ForEach(acctBucket, func(_, _ []byte) error { return fmt.Errorf("a delivered record is still on disk") }); err != nil {
		t.Error(err)
	}
}

// A server that comes back gets what waited, without a restart.
func TestRecordsAfterAnOutage(t *testing.T) {
	f := startFake(t, silent)
	s := f.server("r1")
	s.Timeout, s.Tries = 20*time.Millisecond, 1
	r := newRig(t, time.Second, s)
	a := r.accountant(store.Memory())
	for i := range 300 {
		a.Account(record(fmt.Sprint(i), authz.RecordStart))
	}
	eventually(t, "the server is dead", func() bool { n, _ := a.Waiting(); return n == 300 && r.log.String() != "" })
	f.setAnswer(answerWith(radius.CodeAccountingResponse))
	eventually(t, "all are delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
}

// Accounting-On comes before the sessions that follow it, Accounting-Off after all.
func TestOnAndOffAreBarriers(t *testing.T) {
	f := startFake(t, answerWith(radius.CodeAccountingResponse))
	r := newRig(t, time.Minute, f.server("r1"))
	a := r.accountant(store.Memory())
	a.Account(authz.Record{Group: "g", Kind: authz.RecordOn, At: time.Now()})
	for i := range 50 {
		a.Account(record(fmt.Sprint(i), authz.RecordStart))
	}
	a.Account(authz.Record{Group: "g", Kind: authz.RecordOff, At: time.Now()})
	eventually(t, "all are delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
	all := f.accounted()
	if len(all) != 52 || all[0][len(all[0])-2:] != "/7" || all[51][len(all[51])-2:] != "/8" {
		t.Errorf("got %d: %v", len(all), all)
	}
}

// A server may give more Class than one record can send back; the record goes without the rest.
func TestTooMuchClass(t *testing.T) {
	f := startFake(t, answerWith(radius.CodeAccountingResponse))
	r := newRig(t, time.Minute, f.server("r1"))
	a := r.accountant(store.Memory())
	stop := record("A1", authz.RecordStop)
	for range 16 {
		stop.Attributes.Class.V, stop.Attributes.Class.Origin = append(stop.Attributes.Class.V, strings.Repeat("c", 253)), "radius"
	}
	a.Account(stop)
	eventually(t, "it is delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
	p := f.requests()[0]
	classes := 0
	for _, attr := range p.Attributes {
		if attr.Type == attrClass {
			classes++
		}
	}
	if string(p.Get(attrAcctSessionID)) != "A1" || classes < 10 || classes > 15 || !strings.Contains(r.log.String(), "class attributes left out") {
		t.Errorf("the record has %d Class of session %s\n%s", classes, p.Get(attrAcctSessionID), r.log)
	}
	if _, dropped := a.Waiting(); dropped != 0 {
		t.Errorf("%d are dropped", dropped)
	}
}

// A record that can never be sent is given up, and holds up no other.
func TestRecordThatCannotBeSent(t *testing.T) {
	f := startFake(t, answerWith(radius.CodeAccountingResponse))
	r := newRig(t, time.Minute, f.server("r1"))
	long := attrs{}
	for range 16 {
		long.Add(attrClass, make(radius.Attribute, 252))
	}
	disk := store.Memory()
	value, err := json.Marshal(wireRecord{Group: "g", At: time.Now(), Attrs: long.encode()}) // of no session: all wait for it
	if err != nil || len(long.encode()) < recordRoom {
		t.Fatal(err, len(long.encode()))
	}
	if err := disk.Update(func(tx store.Tx) error { return tx.Put(acctBucket, recordKey(1), value) }); err != nil {
		t.Fatal(err)
	}
	a := r.accountant(disk)
	a.Account(record("A1", authz.RecordStart))
	eventually(t, "the other is delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
	if _, dropped := a.Waiting(); dropped != 1 || len(f.accounted()) != 1 || !strings.Contains(r.log.String(), "given up") {
		t.Errorf("%d are dropped, the server has %v\n%s", dropped, f.accounted(), r.log)
	}
}

// The sessions of one user follow each other at the server, too, also where their records have waited.
func TestRecordsOfOneUserKeepTheirOrder(t *testing.T) {
	f := startFake(t, silent)
	s := f.server("r1")
	s.Timeout, s.Tries = 20*time.Millisecond, 1
	r := newRig(t, time.Second, s)
	a := r.accountant(store.Memory())
	var want []string
	for i := range 10 {
		for _, kind := range []authz.RecordKind{authz.RecordStart, authz.RecordStop} {
			one := record(fmt.Sprintf("S%d", i), kind)
			one.User = "alice"
			a.Account(one)
			want = append(want, fmt.Sprintf("S%d/%d", i, kind))
		}
	}
	eventually(t, "the server is dead", func() bool { return strings.Contains(r.log.String(), "radius server dead") })
	f.mu.Lock()
	f.seen = nil
	f.mu.Unlock()
	f.setAnswer(answerWith(radius.CodeAccountingResponse))
	eventually(t, "all are delivered", func() bool { n, _ := a.Waiting(); return n == 0 })
	closeNow(t, a)
	if got := fmt.Sprint(f.accounted()); got != fmt.Sprint(want) {
		t.Errorf("they came as %s", got)
	}
}
