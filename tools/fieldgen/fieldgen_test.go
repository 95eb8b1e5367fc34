package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/hauberk/hauberk/internal/need"
)

// describe compiles a proto file to a descriptor set with source info.
func describe(t *testing.T, dir, file string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "set")
	protoc := need.Program(t, "protoc")
	if text, err := exec.Command(protoc, "-I", dir, "--include_source_info", "--descriptor_set_out="+out, file).CombinedOutput(); err != nil {
		t.Fatalf("protoc: %v: %s", err, text)
	}
	return out
}

func TestCommittedFilesAreCurrent(t *testing.T) {
	set := describe(t, "../../proto", "event.proto")
	for range 2 { // the same each time
		dir := t.TempDir()
		code, page := filepath.Join(dir, "code"), filepath.Join(dir, "page")
		if err := generate(set, code, page); err != nil {
			t.Fatal(err)
		}
		for made, committed := range map[string]string{code: "../../event/fields.gen.go", page: "../../docs/formats/fields.md"} {
			got, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(committed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run proto/generate.sh", committed)
			}
		}
	}
}

const frame = `syntax = "proto3"; package x;
message Host { string name = 1; // ecs:host.name ocsf:device.hostname
}
message Process { uint32 pid = 1; // ecs:process.pid ocsf:process.pid
}
message A { %s }
message B { bytes path = 1; // ecs:file.path ocsf:file.path
}
message Event { Process process = 1; oneof body { A a = 2; B b = 3; } }
enum Severity { SEVERITY_UNSPECIFIED = 0; }
`

func TestMistakesAreRefused(t *testing.T) {
	for _, test := range []struct{ name, field, want string }{
		{"good", "bytes path = 1; // ecs:file.path ocsf:file.path -- a note\n", ""},
		{"hidden", "bytes path = 1; // -\n", ""},
		{"no annotation", "bytes path = 1;", "A.path: no annotation"},
		{"a comment is no annotation", "bytes path = 1; // where\n", "A.path: no annotation"},
		{"no OCSF path", "bytes path = 1; // ecs:file.path\n", "A.path: wants both an ecs"},
		{"unknown word", "bytes path = 1; // ecs:file.path ocsf:file.path big\n", `A.path: unknown word "big"`},
		{"one word", "bool x = 1; // ecs:x ocsf:x words:yes\n", "A.x: words: wants two"},
		{"kind differs", "uint32 path = 1; // ecs:file.path ocsf:file.path\n", "B.path: file.path is Text here and Uint elsewhere"},
		{"name twice", "bytes p = 1; // ecs:p ocsf:p\nbytes q = 2; // ecs:p ocsf:q\n", "A.q: p is A.p already"},
		{"no kind", "double p = 1; // ecs:p ocsf:p\n", "A.p: type TYPE_DOUBLE"},
		{"derived kind differs", "uint32 p = 1; // ecs:event.id ocsf:p\n", "derived event.id is Text here and Uint elsewhere"},
		{"path twice", "bytes p = 1; // ecs:p ocsf:x\nbytes q = 2; // ecs:q ocsf:x\n", "OCSF path x is both p and q"},
		{"value and object", "bytes p = 1; // ecs:p ocsf:x\nbytes q = 2; // ecs:q ocsf:x.y\n", "OCSF path x is a value and an object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			text := strings.Replace(frame, "%s", test.field, 1)
			if err := os.WriteFile(filepath.Join(dir, "x.proto"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			err := generate(describe(t, dir, "x.proto"), filepath.Join(dir, "code"), filepath.Join(dir, "page"))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestForeignInput(t *testing.T) {
	dir := t.TempDir()
	other, err := proto.Marshal(&descriptorpb.FileDescriptorSet{})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": other, "noise": []byte("\xff\xff")} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := generate(path, filepath.Join(dir, "code"), filepath.Join(dir, "page")); err == nil {
			t.Errorf("%s descriptor set was accepted", name)
		}
	}
}

func TestGoNames(t *testing.T) {
	for name, want := range map[string]string{"ja3s": "Ja3S", "sha256": "Sha256", "a_b": "AB", "source_ip": "SourceIp"} {
		if got := camel(name); got != want {
			t.Errorf("camel(%s) = %s, want %s", name, got, want)
		}
	}
}
