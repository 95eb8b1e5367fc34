package sdp

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

const call = "v=0\r\no=me 1 2 IN IP4 10.0.0.1\r\ns=call\r\ni=about\r\nc=IN IP4 10.0.0.1\r\nb=AS:64\r\nt=0 0\r\nr=7d 1h 0 25h\r\nk=prompt\r\na=x\r\n" +
	"m=audio 8000 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\na=sendrecv\r\nm=video 9 udp 1\r\ni=two\r\n"

func TestParse(t *testing.T) {
	d := Parse([]byte(call))
	if d == nil {
		t.Fatal("no description")
	}
	var w jsonw.Writer
	w.Object("")
	d.Append(&w)
	w.Close()
	const want = `{"sdp":{"origin":"me 1 2 IN IP4 10.0.0.1","session_name":"call","session_info":"about","connection_data":"IN IP4 10.0.0.1","bandwidths":["AS:64"],"time_descriptions":[{"time":"0 0","repeat_time":"7d 1h 0 25h"}],"encryption_key":"prompt","attributes":["x"],"media_descriptions":[{"media":"audio 8000 RTP/AVP 0","attributes":["rtpmap:0 PCMU","sendrecv"]},{"media":"video 9 udp 1","media_info":"two"}]}}`
	if got := string(w.Bytes()); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
	if got := string(d.Buffer(suricata.BufSDPMediaMediaInfo, 1)); got != "two" {
		t.Errorf("second stream's title %q", got)
	}
	for _, none := range []string{"", "v=1\r\n", "v=0\r\no=x\r\ns=y\r\n", "o=x\r\nv=0\r\n"} {
		if Parse([]byte(none)) != nil {
			t.Errorf("%q is a description", none)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(call))
	f.Add([]byte("v=0\no=\ns=\nr=1\nt=\nm=\nk=\nz=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Parse(b)
		for _, x := range Buffers {
			for i := range 3 {
				d.Buffer(x, i)
			}
		}
		if d != nil {
			var w jsonw.Writer
			w.Object("")
			d.Append(&w)
		}
	})
}
