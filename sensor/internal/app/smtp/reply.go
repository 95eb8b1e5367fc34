package smtp

import (
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
)

// codes are the replies that servers give (RFC 5321 section 4.2.3 and its
// extensions).
const codes = " 211 214 220 221 235 250 251 252 334 354 401 402 421 435 450 451 452 454 455 " +
	"500 501 502 503 504 511 521 522 525 530 534 535 541 543 550 551 552 553 554 555 "

// replyTx is the transaction the next reply belongs to, nil if it is of none.
func (p *parser) replyTx() *tx {
	if len(p.asked) == 0 {
		return p.tx
	}
	return p.asked[0].tx
}

// reply takes a line of one. It returns false if it is none.
func (p *parser) reply(line []byte) bool {
	if len(line) < 3 || !strings.Contains(codes, " "+string(line[:3])+" ") {
		p.raise(invalidReply)
		return false
	}
	code := string(line[:3])
	p.multi = len(line) > 3 && (line[3] == '-')
	if len(p.asked) == 0 {
		if !p.welcomed {
			p.welcomed = !p.multi
			if code != "220" {
				p.raise(invalidReply)
			}
		}
		return true
	}
	p.answer(p.asked[0], code)
	switch {
	case !p.multi:
		p.asked = p.asked[1:]
	case p.welcomed && code == "250" && strings.EqualFold(string(line[4:]), "pipelining"):
		p.pipeline = true
	}
	return true
}

// answer applies a reply to what it answers.
func (p *parser) answer(a asked, code string) {
	const both = true
	switch a.command {
	case startTLS:
		if code != "220" {
			p.raise(tlsRejected)
			return
		}
		p.inData = true
		p.ctx.Hooks.Become("tls")
		a.tx.done(both)
	case dataCommand:
		if code == "354" {
			a.tx.reached(data)
			p.inData = true
			return
		}
		if p.pipeline {
			p.inData = false // It was entered too early.
		}
		p.raise(dataRejected)
	case bdat:
		a.tx.reached(data)
	case bdatLast, mailEnd:
		if !p.multi {
			a.tx.done(!both)
		}
	case reset:
		if code == "250" && !p.multi {
			a.tx.done(both)
		}
	case quit:
		if code == "221" && !p.multi {
			a.tx.done(both)
		}
	}
}

// reached notes how far the answers are. There may be no transaction.
func (t *tx) reached(step uint8) {
	if t != nil {
		t.Progress[app.ToClient] = max(t.Progress[app.ToClient], step)
	}
}

// done says that the answers are complete, and perhaps that no more is asked.
func (t *tx) done(both bool) {
	t.reached(complete)
	if t != nil && both {
		t.Progress[app.ToServer] = complete
	}
}
