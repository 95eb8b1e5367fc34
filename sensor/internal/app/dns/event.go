package dns

import (
	"bytes"
	"net/netip"

	"github.com/hauberk/hauberk/event"
)

// maxAnswers is how many answers an event carries.
const maxAnswers = 32

// Event is the message as the fleet's event, without endpoints.
func (t *tx) Event() *event.Dns {
	d := &event.Dns{Id: uint32(t.id), Response: t.flags&flagQR != 0}
	if len(t.questions) > 0 {
		d.QuestionName, d.QuestionType = bytes.Clone(t.questions[0].name), kindName(t.questions[0].kind)
	}
	if !d.Response {
		return d
	}
	d.ResponseCode = rcodeName(t.flags)
	for i := range t.answers[:min(len(t.answers), maxAnswers)] {
		if text := t.answer(&t.answers[i]); len(text) > 0 {
			d.Answers = append(d.Answers, text)
		}
	}
	return d
}

// answer is what a record says if that is an address or a name, else nil.
func (t *tx) answer(r *record) []byte {
	rd := reader{msg: t.msg, at: r.at}
	switch r.kind {
	case kindA, kindAAAA:
		if a, ok := netip.AddrFromSlice(r.data); ok {
			return []byte(a.String())
		}
	case kindMX:
		rd.at += 2
		fallthrough
	case kindCNAME, kindNS, kindPTR:
		if name, ok := rd.name(); ok {
			return bytes.Clone(name)
		}
	}
	return nil
}
