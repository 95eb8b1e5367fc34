package nfs

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

func u32(n ...uint32) string {
	var b []byte
	for _, x := range n {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return string(b)
}

func opaque(s string) string { return u32(uint32(len(s))) + s + strings.Repeat("\x00", -len(s)&3) }

func record(b string) string { return u32(1<<31|uint32(len(b))) + b }

func callOf(xid, version, procedure uint32, args string) string {
	unix := u32(7) + opaque("host") + u32(1000, 100, 0)
	return record(u32(xid, 0, 2, program, version, procedure, authUnix) + opaque(unix) + u32(0, 0) + args)
}

func replyOf(xid uint32, results string) string { return record(u32(xid, 1, 0, 0, 0, 0) + results) }

var (
	attributes = strings.Repeat("\x00", 84)
	lookup     = callOf(1, 3, lookup3, opaque("dir")+opaque("a.txt"))
	found      = replyOf(1, u32(0)+opaque("fh"))
	reading    = callOf(2, 3, read3, opaque("fh")+u32(0, 0, 5000))
	content    = strings.Repeat("x", 1001)
	readDone   = replyOf(2, u32(0, 1)+attributes+u32(1001, 1)+opaque(content))
	writing    = callOf(3, 3, write3, opaque("fh")+u32(0, 0, 1001, 2)+opaque(content))
	compound   = opaque("") + u32(0, 3, putFH4) + opaque("f4") + u32(write4) + strings.Repeat("\x00", 16) + u32(0, 0, 0) + opaque("hello") + u32(commit4, 0, 0, 0)
)

const rpcOf = `"status":"ACCEPTED","auth_type":"UNIX","creds":{"machine_name":"host","uid":1000,"gid":100}}`

func TestVersion3(t *testing.T) {
	for _, piece := range []int{1, 600, 0} {
		c := apptest.New(Protocol, 2049, nil)
		c.Piece = piece
		c.Client(lookup)
		c.Server(found)
		c.Client(reading)
		c.Server(readDone)
		c.Client(writing)
		c.Client(callOf(4, 3, rename3, opaque("dir")+opaque("a")+opaque("dir")+opaque("b")))
		c.Server(replyOf(4, u32(2)))
		txs := c.Session.Txs()
		want := []string{
			`{"rpc":{"xid":1,` + rpcOf + `,"nfs":{"version":3,"procedure":"LOOKUP","filename":"a.txt","hhash":"8eb7a36b","id":1,"file_tx":false,"type":"response","status":"OK"}}`,
			`{"rpc":{"xid":2,` + rpcOf + `,"nfs":{"version":3,"procedure":"READ","filename":"a.txt","hhash":"8eb7a36b","id":2,"file_tx":true,"type":"response","status":"OK","read":{"first":true,"last":true,"last_xid":2,"chunks":1}}}`,
			`{"rpc":{"xid":3,"status":"ACCEPTED","auth_type":"NULL"},"nfs":{"version":3,"procedure":"WRITE","filename":"a.txt","hhash":"8eb7a36b","id":3,"file_tx":true,"type":"response","status":"OK","write":{"first":true,"last":true,"last_xid":3,"chunks":1}}}`,
			`{"rpc":{"xid":4,` + rpcOf + `,"nfs":{"version":3,"procedure":"RENAME","filename":"a","hhash":"c9252be2","id":4,"file_tx":false,"type":"response","status":"ERR_NOENT","rename":{"from":"a","to":"b"}}}`,
		}
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := apptest.Log(x, 0, nil); hash(got) != hash(want[i]) {
				t.Errorf("pieces of %d: log\n%s, want\n%s", piece, got, want[i])
			}
		}
		for i, dir := range map[int]app.Dir{1: app.ToClient, 2: app.ToServer} {
			f := txs[i].Common().Files[dir][0]
			if f.State != file.Closed || f.Size != 1001 || string(f.Name) != "a.txt" {
				t.Errorf("pieces of %d: file %+v", piece, f)
			}
			if b := apptest.Buffers(txs[i], suricata.BufFileData, dir); len(b) != 1 || b[0] != content {
				t.Errorf("content %d", len(b))
			}
		}
	}
}

// hash drops the check sum of a handle, which is not computed again here.
func hash(s string) string {
	before, after, ok := strings.Cut(s, `"hhash":"`)
	if !ok {
		return s
	}
	_, after, _ = strings.Cut(after, `"`)
	return before + after
}

func TestVersion4(t *testing.T) {
	c := apptest.New(Protocol, 2049, nil)
	c.Client(callOf(9, 4, compound4, compound))
	x := c.Session.Txs()[0]
	if f := x.Common().Files[app.ToServer][0]; f.State != file.Closed || f.Size != 5 {
		t.Errorf("file %+v", f)
	}
	if got := apptest.Log(x, 0, nil); !strings.Contains(got, `"procedure":"WRITE"`) {
		t.Error(got)
	}
}

func TestAnswerWithoutBody(t *testing.T) {
	c := apptest.New(Protocol, 2049, nil)
	c.Client(callOf(1, 3, 0, ""))
	c.Server(replyOf(1, ""))
	if e := apptest.Events(c.Session.Txs()[0]); e != "" {
		t.Errorf("events %s", e)
	}
}

func TestGap(t *testing.T) {
	c := apptest.New(Protocol, 2049, nil)
	c.Client(writing[:700])
	c.Session.Gap(app.ToServer, 700, uint64(len(writing)-700))
	f := c.Session.Txs()[0].Common().Files[app.ToServer][0]
	if f.Size != 1001 || !f.Gaps || f.State != file.Closed {
		t.Errorf("file %+v", f)
	}
}

func TestMatch(t *testing.T) {
	x := &tx{call: call{rpcCall: rpcCall{version: 3, procedure: lookup3}}}
	for text, want := range map[string]bool{"nfs_procedure:lookup": true, "nfs_procedure:4": false, "nfs.version:3": true, "nfs.version:<3": false} {
		rule, err := suricata.Parse("alert nfs any any -> any any (" + text + "; sid:1;)")
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Match(&rule.Options[0], app.ToServer); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(lookup+reading), []byte(found+readDone), []byte(writing), uint16(0))
	f.Add([]byte(callOf(9, 4, compound4, compound)), []byte(replyOf(9, u32(0)+opaque("")+u32(2, putFH4, 0, write4, 0))), []byte(lookup), uint16(700))
	f.Add([]byte(callOf(5, 2, read2, strings.Repeat("h", 32)+u32(0, 10, 0))), []byte(replyOf(5, u32(0)+strings.Repeat("\x00", 68)+opaque("abc"))), []byte(nil), uint16(0))
	apptest.Fuzz(f, Protocol, 2049)
}

// TestLongNames keeps little of names and handles that no system has.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("n", 100<<10)
	c := apptest.New(Protocol, 2049, nil)
	c.Client(callOf(1, 3, lookup3, opaque("dir")+opaque(long)))
	c.Server(replyOf(1, u32(0)+opaque(long)))
	txs := c.Session.Txs()
	if len(txs) != 1 {
		t.Fatalf("%d transactions", len(txs))
	}
	x := txs[0].(*tx)
	if len(x.name) != maxText {
		t.Errorf("%d bytes of a name are kept", len(x.name))
	}
	if n := len(x.parser.names); n != 0 {
		t.Errorf("%d handles are kept", n)
	}
}
