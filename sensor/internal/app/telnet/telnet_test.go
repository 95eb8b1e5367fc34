package telnet

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

func TestFrames(t *testing.T) {
	c := &app.Config{}
	r := app.NewRegistry(c, []*app.Protocol{Protocol})
	r.WantFrames(func(*app.Protocol, string) bool { return true })
	s := app.NewSession(r, app.FlowInfo{ServerPort: 23})
	var at [2]uint64
	say := func(dir app.Dir, text string) {
		s.Data(dir, at[dir], []byte(text), 0)
		at[dir] += uint64(len(text))
	}
	say(app.ToServer, "\xff\xfd\x03\xff\xfa\x18\x00x\xff\xf0")
	say(app.ToClient, "hi\r\nlogin: ")
	say(app.ToServer, "me\r\n")
	say(app.ToClient, "Password: ")
	say(app.ToServer, "pw\r\n")
	say(app.ToClient, "Login incorrect\r\nlogin: ")
	for dir, want := range map[app.Dir][]string{
		app.ToServer: {"ctl \xff\xfd\x03", "ctl \xff\xfa\x18\x00x", "ctl \xff\xf0", "data me\r\n", "data pw\r\n"},
		app.ToClient: {"data hi\r\nlogin: ", "data Password: ", "data Login incorrect\r\n", "data login: "},
	} {
		var got []string
		for _, f := range s.Frames(dir) {
			if name := f.KindName(); name == "ctl" || name == "data" {
				got = append(got, name+" "+string(f.Data))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("frames %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("frame %d is %q, want %q", i, got[i], want[i])
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\xff\xfd\x03me\r\n"), []byte("login: Password: "), []byte("\xff\xfa\x18"), uint16(1))
	apptest.Fuzz(f, Protocol, 23)
}
