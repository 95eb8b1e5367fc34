package ruleset

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // as publishers do
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// publisher serves an archive of rules and its sum, as rule publishers do.
type publisher struct {
	archive []byte
	asked   map[string]int
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked[r.URL.Path]++
	switch r.URL.Path {
	case "/rules.tar.gz":
		if r.Header.Get("X-Key") != "secret" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		w.Write(p.archive)
	case "/rules.tar.gz.md5":
		fmt.Fprintf(w, "%x\n", md5.Sum(p.archive)) //nolint:gosec // see above
	case "/index.yaml":
		fmt.Fprintf(w, "version: 1\nsources:\n  acme/paid:\n    summary: Paid rules\n    url: http://%s/%%(secret-code)s\n    parameters:\n      secret-code:\n        prompt: the code of your subscription\n", r.Host)
	default:
		http.NotFound(w, r)
	}
}

func tarGz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func newInstallation(t *testing.T) *Config {
	dir := t.TempDir()
	return &Config{DataDir: dir, Output: filepath.Join(dir, "rules"), Client: http.DefaultClient, Agent: "test",
		Say: func(format string, args ...any) { t.Logf(format, args...) }}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUpdate(t *testing.T) {
	p := &publisher{asked: map[string]int{}}
	server := httptest.NewServer(p)
	defer server.Close()
	c := newInstallation(t)
	if err := c.Sources().Add("acme/rules", server.URL+"/rules.tar.gz", "X-Key: secret", true); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(c.Output, RuleFile)
	publish := func(list, text string) {
		p.archive = tarGz(t, map[string]string{"rules/a.rules": text, "rules/bad.lst": list})
	}
	const withList = `alert tcp any any -> any any (dns.query; dataset:isset,d, type string, load bad.lst; sid:1; rev:1;)` + "\n"

	publish("Zm9v", withList+`alert tcp any any -> any any (sid:2; rev:1;)`)
	r, err := Update(t.Context(), c)
	if err != nil || !r.Switched || r.Added != 2 || r.Enabled != 2 {
		t.Fatalf("first update: %+v, %v", r, err)
	}
	first := read(t, rules)
	firstList := filepath.Join(c.Output, "datasets", digest([]byte("Zm9v"))+".lst")
	read(t, firstList)

	if r, err = Update(t.Context(), c); err != nil || r.Switched || p.asked["/rules.tar.gz"] != 1 {
		t.Fatalf("an update at once: %+v, %v, fetched %d times", r, err, p.asked["/rules.tar.gz"])
	}

	c.Force = true
	publish("YmFy", withList+`alert tcp any any -> any any (sid:2; rev:2;)`+"\n"+`alert tcp any any -> any any (sid:3; rev:1;)`)
	c.Check = func(string) error { return errors.New("refused by the test") }
	if _, err = Update(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the old ones are kept: refused by the test") || read(t, rules) != first {
		t.Fatalf("a set that does not pass: %v", err)
	}
	c.Check = func(staged string) error {
		if _, err := os.Stat(filepath.Join(filepath.Dir(staged), "datasets", digest([]byte("YmFy"))+".lst")); err != nil {
			return err
		}
		return nil
	}
	r, err = Update(t.Context(), c)
	if err != nil || !r.Switched || r.Added != 1 || r.Changed != 2 || r.Removed != 0 {
		t.Fatalf("second update: %+v, %v", r, err)
	}
	second := read(t, rules)

	if err := Rollback(c); err != nil || read(t, rules) != first {
		t.Fatalf("roll back: %v", err)
	}
	read(t, firstList)
	if err := Rollback(c); err != nil || read(t, rules) != second {
		t.Fatalf("roll forward: %v", err)
	}

	publish("x", `alert tcp any any -> any any (sid:2; rev:2;)`)
	c.Force = false // what is cached is new, so that the change is not seen
	if r, err = Update(t.Context(), c); err != nil || r.Switched {
		t.Fatalf("a cached source: %+v, %v", r, err)
	}
	server.Close()
	c.Force = true
	if r, err = Update(t.Context(), c); err != nil || r.Switched || len(r.Problems) != 1 {
		t.Fatalf("a publisher that is gone: %+v, %v", r, err)
	}
	if _, err = Update(t.Context(), &Config{DataDir: t.TempDir(), URLs: []string{server.URL + "/x"}, Client: c.Client, Say: c.Say}); err == nil {
		t.Fatal("an update without any rules went through")
	}
}

func TestUpdateRefusesEmptySet(t *testing.T) {
	c := newInstallation(t)
	local := filepath.Join(t.TempDir(), "a.rules")
	write := func(n int) {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "alert tcp any any -> any any (sid:%d; rev:1;)\n", i+1)
		}
		if err := os.WriteFile(local, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Local = []string{local}
	write(10)
	if _, err := Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	write(4)
	if _, err := Update(t.Context(), c); err == nil || !strings.Contains(err.Error(), "has 4 rules that are on, the old one 10") {
		t.Fatalf("a set of less than half: %v", err)
	}
	c.Force = true
	if r, err := Update(t.Context(), c); err != nil || r.Removed != 6 {
		t.Fatalf("forced: %+v, %v", r, err)
	}
	write(0)
	if _, err := Update(t.Context(), c); err == nil {
		t.Fatal("an empty set was taken")
	}
}

// TestOperatorsFilesStay: files beside the rules that no source has are neither touched nor taken for a change.
func TestOperatorsFilesStay(t *testing.T) {
	c := newInstallation(t)
	local := filepath.Join(t.TempDir(), "a.rules")
	own := filepath.Join(c.Output, "threshold.config")
	for path, text := range map[string]string{local: "alert tcp any any -> any any (sid:1;)\n", own: "# ours\n", filepath.Join(c.Output, "classification.config"): "# ours\n"} {
		if err := replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	c.Local = []string{local}
	for i, switched := range []bool{true, false} {
		if r, err := Update(t.Context(), c); err != nil || r.Switched != switched {
			t.Fatalf("update %d: %+v, %v", i, r, err)
		}
	}
	if read(t, own) != "# ours\n" {
		t.Error("the operator's thresholds were changed")
	}
}

// TestSecretHeaderStaysHome: a redirect to another host does not take the header along.
func TestSecretHeaderStaysHome(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "" {
			t.Error("another host saw the key")
		}
	}))
	defer other.Close()
	home := httptest.NewServer(http.RedirectHandler(other.URL+"/x.rules", http.StatusFound))
	defer home.Close()
	c := newInstallation(t)
	if _, err := c.Fetcher().get(t.Context(), home.URL, "X-Key: secret", 10); err == nil || !strings.Contains(err.Error(), "must not see the header") {
		t.Errorf("redirected: %v", err)
	}
	if _, err := c.Fetcher().get(t.Context(), home.URL, "", 10); err != nil {
		t.Errorf("without a header: %v", err)
	}
}

func TestSources(t *testing.T) {
	server := httptest.NewServer(&publisher{asked: map[string]int{}})
	defer server.Close()
	c := newInstallation(t)
	s := c.Sources()
	if err := s.Refresh(t.Context(), c.Fetcher(), server.URL+"/index.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := s.Enable("acme/paid", nil); err == nil || !strings.Contains(err.Error(), "needs secret-code=... (the code of your subscription)") {
		t.Fatalf("enable without a code: %v", err)
	}
	if err := s.Enable("acme/paid", map[string]string{"secret-code": "0x1"}); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		o, err := s.find("acme/paid")
		if err != nil {
			t.Fatal(err)
		}
		return o.State
	}
	remotes, _, err := s.enabled()
	if err != nil || len(remotes) != 1 || remotes[0].URL != server.URL+"/0x1" || state() != "enabled" {
		t.Fatalf("enabled: %v, %v", remotes, err)
	}
	if err := s.Disable("acme/paid"); err != nil || state() != "disabled" {
		t.Fatalf("disable: %v, %s", err, state())
	}
	if err := s.Enable("acme/paid", nil); err != nil || state() != "enabled" {
		t.Fatalf("enable again, with the code kept: %v, %s", err, state())
	}
	if err := s.Remove("acme/paid"); err != nil || state() != "available" {
		t.Fatalf("remove: %v, %s", err, state())
	}
	if err := s.Add("../x", "http://a/", "", false); err == nil {
		t.Fatal("a name that leaves the folder was taken")
	}
	if err := s.Enable("nobody/knows", nil); err == nil {
		t.Fatal("a source that is in no index was enabled")
	}
}

func TestUnpack(t *testing.T) {
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	w, err := z.Create("../../rules/a.rules")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("x"))
	z.Close()
	for name, data := range map[string][]byte{
		"a.zip":    zipped.Bytes(),
		"a.tar.gz": tarGz(t, map[string]string{"/../rules/a.rules": "x"}),
	} {
		files, err := unpack("s", name, data)
		if err != nil || len(files) != 1 || files[0].Name != "s/rules/a.rules" || string(files[0].Data) != "x" {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
	if files, err := unpack("s", "plain", []byte("x")); err != nil || files[0].Name != "s/plain.rules" {
		t.Errorf("plain: %v, %v", files, err)
	}
	if _, err := unpack("s", "a.tar.gz", tarGz(t, map[string]string{"a": "x"})[:30]); err == nil {
		t.Error("a cut archive was taken")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := unpack("s", "a", data)
		for _, file := range files {
			if err == nil && !strings.HasPrefix(file.Name, "s/") {
				t.Fatalf("a file outside of its source: %q", file.Name)
			}
		}
	})
}
