package ops_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", file, got)
	}
}

func get(h http.Handler) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return w.Body.String()
}

func TestScrapeGolden(t *testing.T) {
	node := opstest.Sample(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC))
	text := get(ops.ScrapeOnly(node.Stats, node.Info))
	golden(t, "testdata/scrape.txt", strings.ReplaceAll(text, runtime.Version(), "go1.x"))
}

// A node that has just started, or one whose counters make no sense, is scraped all the same.
func TestScrapeOfNothing(t *testing.T) {
	text := get(ops.ScrapeOnly(func() view.Stats { return view.Stats{} }, func() view.Info { return view.Info{} }))
	for _, want := range []string{`flexvpn_sessions{role="hub"} 0`, `flexvpn_rekeys_total{kind="child"} 0`, "flexvpn_handshake_duration_seconds_count 0"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("an empty node's scrape lacks %q:\n%s", want, text)
		}
	}
	broken := func() view.Stats {
		return view.Stats{Handshake: view.Histogram{Bounds: []float64{1}}, Drops: map[string]uint64{"\xff": 1}}
	}
	text = get(ops.ScrapeOnly(broken, func() view.Info { return view.Info{} }))
	if !strings.Contains(text, `flexvpn_sessions{role="hub"} 0`) || strings.Contains(text, "duration_seconds_count") {
		t.Errorf("with one broken metric the others must still be there:\n%s", text)
	}
}

// The rules of Prometheus for names: base units, _total for counters and only for them, help as a
// sentence.
func TestMetricNamesFollowTheRules(t *testing.T) {
	node := opstest.Sample(time.Now())
	help := map[string]string{}
	for l := range strings.Lines(get(ops.ScrapeOnly(node.Stats, node.Info))) {
		f := strings.SplitN(strings.TrimSpace(l), " ", 4)
		switch f[1] {
		case "HELP":
			help[f[2]] = f[3]
		case "TYPE":
			if (f[3] == "counter") != strings.HasSuffix(f[2], "_total") {
				t.Errorf("%s is a %s: _total belongs to counters and only to them", f[2], f[3])
			}
			if !regexp.MustCompile(`^[A-Z].*\.$`).MatchString(help[f[2]]) {
				t.Errorf("%s: the help %q is no sentence", f[2], help[f[2]])
			}
		}
	}
	if len(help) < 12 {
		t.Errorf("only %d metrics", len(help))
	}
}

func TestMetricsListener(t *testing.T) {
	node := opstest.Sample(time.Now())
	m, err := ops.ListenMetrics(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ops.ListenMetrics(m.Addr()); err == nil || !strings.Contains(err.Error(), "choose another address (metrics.listen)") {
		t.Errorf("an address in use gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, ops.MetricsHandler(node.Stats, node.Info)) }()
	for path, want := range map[string]string{
		"/metrics": "\nflexvpn_sessions{role=\"hub\"} 2\n", "/": "the metrics are at /metrics", "/other": "not found",
	} {
		r, err := http.Get("http://" + m.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if !strings.Contains(string(b), want) {
			t.Errorf("GET %s lacks %q:\n%.2000s", path, want, b)
		}
		if path == "/metrics" && (!strings.Contains(string(b), "\ngo_goroutines ") || !strings.Contains(string(b), "\nprocess_resident_memory_bytes ")) {
			t.Error("the metrics of runtime and process are not there")
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
