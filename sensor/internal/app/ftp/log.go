package ftp

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// appendLog writes the member ftp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("ftp")
	if t.command != "" {
		w.String("command", t.command)
		if data := t.data(); data != nil {
			w.Text("command_data", data)
			w.Bool("command_truncated", t.cut)
		}
	}
	t.logReplies(w)
	if t.port != 0 {
		w.Uint("dynamic_port", uint64(t.port))
	}
	switch t.command {
	case "PORT", "EPRT", "PASV", "EPSV":
		mode := "passive"
		if t.active {
			mode = "active"
		}
		w.String("mode", mode)
	}
	received := "no"
	if t.Progress[app.ToClient] == complete {
		received = "yes"
	}
	w.String("reply_received", received)
	w.Bool("reply_truncated", t.repliesCut)
	w.Close()
}

func (t *tx) logReplies(w *jsonw.Writer) {
	mark := w.Mark()
	w.Array("completion_code")
	for _, r := range t.replies {
		if r.code != nil {
			w.Text("", r.code)
		}
	}
	if w.Empty() {
		w.Back(mark)
	} else {
		w.Close()
	}
	if len(t.replies) == 0 {
		return
	}
	w.Array("reply")
	for _, r := range t.replies {
		w.Text("", r.text)
	}
	w.Close()
}

// appendDataLog writes the member ftp_data of an event.
func appendDataLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*dataTx)
	w.Object("ftp_data")
	if t.Name != nil {
		w.Text("filename", t.Name)
	}
	w.String("command", t.Command)
	w.Close()
}
