package conf

import (
	"strings"
	"testing"
	"time"
)

type sample struct {
	Name     string        `yaml:"name"`
	Size     int64         `yaml:"size"`
	Interval time.Duration `yaml:"interval"`
	Token    Secret        `yaml:"token"`
}

func (s *sample) Validate() error {
	var p Problems
	p.NotEmpty("name", s.Name)
	p.Between("size", s.Size, 1, 10)
	p.DurationBetween("interval", s.Interval, time.Second, time.Hour)
	return p.Err()
}

func TestDecode(t *testing.T) {
	defaults := sample{Name: "a", Size: 5, Interval: time.Minute}
	for _, test := range []struct{ name, yaml, wantErr string }{
		{"empty keeps the defaults", "", ""},
		{"override", "size: 7\ninterval: 5s\n", ""},
		{"unknown key has its line", "size: 7\nszie: 8\n", `line 2: unknown key "szie"`},
		{"all problems", "name: ''\nsize: 11\n", "name: must not be empty; size: 11 is outside 1 to 10"},
		{"wrong type", "size: big\n", "line 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := defaults
			err := Decode([]byte(test.yaml), &got)
			if test.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Fatalf("error %v, want %q", err, test.wantErr)
			}
		})
	}
}

func TestEncodeRedacts(t *testing.T) {
	out, err := Encode(&sample{Name: "a", Token: "hunter2"})
	if err != nil || strings.Contains(string(out), "hunter2") || !strings.Contains(string(out), "(redacted)") {
		t.Fatalf("%s, %v", out, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: x\nsize: 3\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := sample{Name: "a", Size: 1, Interval: time.Minute}
		_ = Decode(data, &s)
	})
}
