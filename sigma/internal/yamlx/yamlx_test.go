package yamlx

import (
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	docs := Split([]byte("\xef\xbb\xbfa: 1\n--- # second\nb:\n  c: |\n    x\n     ---\n---\n\n---\n[\n---\nd: &x 1\ne: *x\n"))
	if len(docs) != 4 {
		t.Fatalf("%d documents, want 4", len(docs))
	}
	for i, line := range []int{1, 3, 10, 12} {
		if docs[i].Line != line {
			t.Errorf("document %d is at line %d, want %d", i, docs[i].Line, line)
		}
	}
	if docs[2].Err == nil || docs[2].Err.Line != 10 {
		t.Errorf("error %+v, want one in line 10", docs[2].Err)
	}
	if e := docs[3].Root.Content[3]; e.Value != "1" {
		t.Errorf("the alias is %+v", e)
	}
	if c := docs[1].Root.Content[1].Content[0]; c.Line != 4 || c.Column != 3 {
		t.Errorf("c is at %d:%d, want 4:3", c.Line, c.Column)
	}
}

func TestErrors(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+",", 9) + "*" + p + "]\n"
	}
	for _, c := range []struct {
		in, want string
		line     int
	}{
		{"a: 1\nb: [", "did not find expected node content", 2},
		{"a: 1\na: 2", `key "a" is given twice`, 2},
		{"[a]: 1", "a key must be a plain value", 1},
		{"a: &x [*x]", "", 1},
		{bomb, "document larger than", 0},
		{strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 32", 1},
		{"a: 1\n...\nb: 2", "a second document without a line ---", 1},
		{"a:\n\tb: 1", "found character that cannot start any token", 2},
	} {
		docs := Split([]byte(c.in))
		if len(docs) != 1 || docs[0].Err == nil || !strings.Contains(docs[0].Err.Reason, c.want) || c.line > 0 && docs[0].Err.Line != c.line {
			t.Errorf("%.40q: %+v, want %q in line %d", c.in, docs[0].Err, c.want, c.line)
		}
	}
}

// FuzzSplit: no file makes it panic; errors are within the file.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a: 1\n---\nb: [\n---\nc: &x {y: *x}\n"))
	f.Add([]byte("--- |\n text\n...\n---"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, d := range Split(data) {
			if d.Err != nil && (d.Err.Line < 1 || d.Err.Reason == "") {
				t.Errorf("error %+v", d.Err)
			}
			if (d.Root == nil) != (d.Err != nil) || d.Line > 2*lines+1 {
				t.Errorf("document %+v", d)
			}
		}
	})
}
