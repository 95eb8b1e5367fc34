package sigma

import (
	"bytes"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/hauberk/hauberk/sigma/internal/pattern"
)

// predOp is what a predicate does with the value of its slot.
type predOp uint8

const (
	opEquals   predOp = iota // text is lit
	opPrefix                 // text begins with lit
	opSuffix                 // text ends with lit
	opContains               // text holds lit
	opGlob                   // glob
	opRegexp                 // re
	opCIDR                   // net
	opNumber                 // cmp num
	opTime                   // a part of the time, cmp num
	opPresent                // the field is there (exists, *)
	opEmpty                  // the field is absent or empty ('' and null)
	opFieldRef               // compares with slot other, as place says
)

// predicate is one test of one slot. Equal predicates of all rules are one.
type predicate struct {
	op     predOp
	place  predOp     // of opFieldRef: opEquals, opPrefix, opSuffix or opContains
	cmp    Comparison // of opNumber and opTime
	folded bool       // compares ASCII lower case
	part   timePart
	slot   int32
	other  int32
	index  int32 // the automaton that holds all literals it needs, or noIndex
	lit    []byte
	glob   *pattern.Glob
	re     *regexp.Regexp
	net    netip.Prefix
	num    number
}

// noIndex marks a predicate that no automaton rules out.
const noIndex = -1

// cost orders the tests of a rule: rough nanoseconds.
func (p *predicate) cost() int {
	switch p.op {
	case opRegexp:
		return 500
	case opGlob, opFieldRef:
		return 60
	case opContains:
		return 25
	case opTime, opCIDR:
		return 20
	}
	return 5
}

// timePart is a part of a date.
type timePart uint8

const (
	partNone timePart = iota
	partMinute
	partHour
	partDay
	partWeek
	partMonth
	partYear
)

func timePartOf(modifier string) timePart { return timePart(1 + slices.Index(timeParts, modifier)) }

// of extracts the part; week is the ISO 8601 week.
func (tp timePart) of(t time.Time) number {
	var n int
	switch tp {
	case partMinute:
		n = t.Minute()
	case partHour:
		n = t.Hour()
	case partDay:
		n = t.Day()
	case partWeek:
		_, n = t.ISOWeek()
	case partMonth:
		n = int(t.Month())
	case partYear:
		n = t.Year()
	}
	return number{i: int64(n), f: float64(n), isInt: true}
}

// timeOfText reads YYYY-MM-DD, then optionally T or a space and hh:mm. What
// follows, a time zone too, is not read: the parts are those written.
func timeOfText(b []byte) (time.Time, bool) {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return time.Time{}, false
	}
	year, ok1 := digits(b[0:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > 31 {
		return time.Time{}, false
	}
	var hour, minute int
	if len(b) >= 16 && (b[10] == 'T' || b[10] == ' ') && b[13] == ':' {
		hour, ok1 = digits(b[11:13])
		minute, ok2 = digits(b[14:16])
		if !ok1 || !ok2 || hour > 23 || minute > 59 {
			return time.Time{}, false
		}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
	return t, t.Day() == day
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// addrOfText reads an IP address without allocating for IPv4.
func addrOfText(b []byte) (netip.Addr, bool) {
	if len(b) == 0 || len(b) > maxAddrText {
		return netip.Addr{}, false
	}
	if bytes.IndexByte(b, ':') >= 0 {
		a, err := netip.ParseAddr(string(b))
		return a.Unmap(), err == nil
	}
	var ip [4]byte
	for i := range ip {
		end := bytes.IndexByte(b, '.')
		if i == 3 {
			end = len(b)
		}
		if end < 1 || end > 3 || end > 1 && b[0] == '0' {
			return netip.Addr{}, false
		}
		n, ok := digits(b[:end])
		if !ok || n > 255 {
			return netip.Addr{}, false
		}
		ip[i] = byte(n)
		b = b[min(end+1, len(b)):]
	}
	return netip.AddrFrom4(ip), true
}

// maxAddrText is the longest textual address, an IPv6 one with a zone.
const maxAddrText = 64

// matchText tests one text, which is folded if p is.
func (p *predicate) matchText(t []byte) bool {
	switch p.op {
	case opEquals:
		return bytes.Equal(t, p.lit)
	case opPrefix:
		return bytes.HasPrefix(t, p.lit)
	case opSuffix:
		return bytes.HasSuffix(t, p.lit)
	case opContains:
		return bytes.Contains(t, p.lit)
	case opGlob:
		return p.glob.Match(t)
	case opRegexp:
		return p.re.Match(t)
	case opCIDR:
		a, ok := addrOfText(t)
		return ok && p.net.Contains(a)
	case opNumber:
		if len(t) > maxNumberText {
			return false
		}
		n, ok := parseNumber(string(t))
		return ok && compareNumbers(p.cmp, n, p.num)
	case opTime:
		tm, ok := timeOfText(t)
		return ok && compareNumbers(p.cmp, p.part.of(tm), p.num)
	}
	return false
}

// related tests two texts of a fieldref.
func (p *predicate) related(a, b []byte) bool {
	switch p.place {
	case opPrefix:
		return bytes.HasPrefix(a, b)
	case opSuffix:
		return bytes.HasSuffix(a, b)
	case opContains:
		return bytes.Contains(a, b)
	}
	return bytes.Equal(a, b)
}
