package trap

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// service speaks as a server until the session ends.
type service func(*Trap, *watched, *Session) error

// speakers are services whose server speaks first, by port.
var speakers = map[uint16]struct {
	serve service
	name  string
}{
	21: {ftp, "ftp"}, 22: {ssh, "ssh"}, 2222: {ssh, "ssh"}, 22222: {ssh, "ssh"}, 23: {telnet, "telnet"}, 2323: {telnet, "telnet"},
	25: {smtp, "smtp"}, 587: {smtp, "smtp"}, 3306: {mysql, "mysql"},
}

// wait is how long a client may be silent before it is taken for one that waits for us.
const wait = 3 * time.Second

// choose finds the service of a port, or of what the client says first.
func (t *Trap) choose(w *watched, port uint16) (service, string) {
	if s, ok := speakers[port]; ok {
		return s.serve, s.name
	}
	first := w.peek(wait, time.Now().Add(t.limits.Time))
	switch {
	case len(first) >= 3 && first[0] == 22 && first[1] == 3:
		return secure, "tls"
	case bytes.HasPrefix(first, []byte("SSH-")):
		return ssh, "ssh"
	case len(first) >= 6 && first[0] == 3 && first[1] == 0 && first[5] == 0xe0:
		return rdp, "rdp"
	case len(first) >= 8 && first[0] == 0 && bytes.Equal(first[5:8], []byte("SMB")):
		return smb, "smb"
	case len(first) >= 2 && first[0] == '*' && first[1] >= '0' && first[1] <= '9', port == 6379 && len(first) > 0:
		return redis, "redis"
	case isHTTP(first):
		return web, "http"
	}
	return generic, "unknown"
}

func isHTTP(b []byte) bool {
	for _, m := range []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "CONNECT ", "PATCH ", "TRACE ", "PROPFIND "} {
		if bytes.HasPrefix(b, []byte(m)) {
			return true
		}
	}
	return false
}

// generic keeps what comes, and answers with an empty line once.
func generic(t *Trap, w *watched, s *Session) error {
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, io.LimitReader(w, t.limits.Bytes))
	return err
}

// attempts is how often one may try to log in.
const attempts = 3

func telnet(_ *Trap, w *watched, s *Session) error {
	r := bufio.NewReader(skipTelnet{w})
	for range attempts {
		var said [2]string
		for i, prompt := range []string{"login: ", "Password: "} {
			if _, err := io.WriteString(w, prompt); err != nil {
				return err
			}
			var err error
			if said[i], err = line(r); err != nil {
				return err
			}
		}
		s.try(said[0], said[1], "password")
		if _, err := io.WriteString(w, "\r\nLogin incorrect\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// skipTelnet leaves out the protocol's commands (RFC 854): IAC and two bytes, which never hold text.
type skipTelnet struct{ r io.Reader }

func (s skipTelnet) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	out := 0
	for i := 0; i < n; i++ {
		if b[i] == 255 {
			i += 2
			continue
		}
		b[out] = b[i]
		out++
	}
	return out, err
}

// dialogue answers lines with what reply says of each; an empty answer ends it.
func dialogue(w *watched, s *Session, greeting string, reply func(verb, rest string) string) error {
	if _, err := io.WriteString(w, greeting); err != nil {
		return err
	}
	for r := bufio.NewReader(w); ; {
		said, err := line(r)
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(said, " ")
		s.note(said)
		answer := reply(strings.ToUpper(verb), rest)
		if answer == "" {
			return nil
		}
		if _, err := io.WriteString(w, answer+"\r\n"); err != nil {
			return err
		}
	}
}

func ftp(_ *Trap, w *watched, s *Session) error {
	user := ""
	return dialogue(w, s, "220 FTP server ready\r\n", func(verb, rest string) string {
		switch verb {
		case "USER":
			user = rest
			return "331 Password required for " + clip(user)
		case "PASS":
			s.try(user, rest, "password")
			return "530 Login incorrect"
		case "QUIT":
			return ""
		}
		return "530 Please login with USER and PASS"
	})
}

func smtp(_ *Trap, w *watched, s *Session) error {
	var user *string
	login := false
	return dialogue(w, s, "220 mail ESMTP\r\n", func(verb, rest string) string {
		text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(verbatim(s)))
		switch {
		case login && user == nil && err == nil:
			name := string(text)
			user = &name
			return "334 UGFzc3dvcmQ6"
		case login && user != nil && err == nil:
			s.try(*user, string(text), "login")
			login, user = false, nil
			return "535 5.7.8 Error: authentication failed"
		case verb == "EHLO" || verb == "HELO":
			return "250-mail\r\n250 AUTH PLAIN LOGIN"
		case verb == "AUTH" && strings.HasPrefix(strings.ToUpper(rest), "PLAIN "):
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(rest[6:]))
			if parts := bytes.Split(plain, []byte{0}); len(parts) == 3 {
				s.try(string(parts[1]), string(parts[2]), "plain")
			}
			return "535 5.7.8 Error: authentication failed"
		case verb == "AUTH":
			login = true
			return "334 VXNlcm5hbWU6"
		case verb == "QUIT":
			return ""
		}
		return "530 5.7.0 Authentication required"
	})
}

// verbatim is the request noted last.
func verbatim(s *Session) string {
	if len(s.Requests) == 0 {
		return ""
	}
	return s.Requests[len(s.Requests)-1]
}

func web(_ *Trap, w *watched, s *Session) error {
	for r := bufio.NewReader(w); ; {
		q, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		s.note(q.Method + " " + q.Host + q.RequestURI)
		s.Client = clip(q.UserAgent())
		if user, secret, ok := q.BasicAuth(); ok {
			s.try(user, secret, "basic")
		}
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return err
		}
		const page = "<html><head><title>401 Authorization Required</title></head><body><h1>401 Authorization Required</h1></body></html>\n"
		answer := fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nServer: nginx\r\nDate: %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n"+
			"WWW-Authenticate: Basic realm=\"Restricted\"\r\n\r\n", time.Now().UTC().Format(http.TimeFormat), len(page))
		if q.Method != http.MethodHead {
			answer += page
		}
		if _, err := io.WriteString(w, answer); err != nil {
			return err
		}
		if q.Close {
			return nil
		}
	}
}

// Bounds of Redis's protocol.
const (
	maxArguments = 64
	maxBulk      = 4096
)

func redis(_ *Trap, w *watched, s *Session) error {
	for r := bufio.NewReader(w); ; {
		words, err := command(r)
		if err != nil {
			return err
		}
		if len(words) == 0 {
			continue
		}
		s.note(strings.Join(words, " "))
		answer := "-NOAUTH Authentication required."
		switch strings.ToUpper(words[0]) {
		case "AUTH":
			user := "default"
			if len(words) > 2 {
				user = words[1]
			}
			s.try(user, words[len(words)-1], "password")
			answer = "-WRONGPASS invalid username-password pair or user is disabled."
		case "QUIT":
			answer = "+OK"
		}
		if _, err := io.WriteString(w, answer+"\r\n"); err != nil || words[0] == "QUIT" {
			return err
		}
	}
}

// command reads a command of Redis: an array of bulk strings, or words in a line.
func command(r *bufio.Reader) ([]string, error) {
	first, err := line(r)
	if err != nil || !strings.HasPrefix(first, "*") {
		return strings.Fields(first), err
	}
	n, err := strconv.Atoi(first[1:])
	if err != nil || n < 0 || n > maxArguments {
		return nil, fmt.Errorf("read command: %q arguments", first)
	}
	var words []string
	for range n {
		head, err := line(r)
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
		if err != nil || size < 0 || size > maxBulk {
			return nil, fmt.Errorf("read command: %q bytes", head)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words = append(words, string(b[:size]))
	}
	return words, nil
}

// mysql greets with protocol 10 and reads who wants in; the secret is what the client made of the salt in the greeting.
func mysql(t *Trap, w *watched, s *Session) error {
	salt := t.secrets.salt()
	greeting := append([]byte("\x0a5.7.42-log\x00\x01\x00\x00\x00"), salt[:8]...)
	greeting = append(greeting, "\x00\xff\xf7\x21\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	greeting = append(greeting, salt[8:]...)
	greeting = append(greeting, "\x00mysql_native_password\x00"...)
	if err := mysqlPacket(w, 0, greeting); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(w, head[:]); err != nil {
		return err
	}
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if size > maxBulk {
		return fmt.Errorf("read login: %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(w, b); err != nil {
		return err
	}
	user := ""
	if len(b) > 32 { // Capabilities, packet size, charset and 23 zeros come before; then the name.
		name, rest, _ := bytes.Cut(b[32:], []byte{0})
		user = string(name)
		if len(rest) > 0 && int(rest[0]) < len(rest) {
			s.try(user, hex.EncodeToString(rest[1:1+int(rest[0])])+" salt "+hex.EncodeToString(salt), "mysql_native_password")
		}
	}
	return mysqlPacket(w, 2, fmt.Appendf(nil, "\xff\x15\x04#28000Access denied for user '%s'@'%s' (using password: YES)", clip(user), s.Source))
}

func mysqlPacket(w io.Writer, number byte, b []byte) error {
	_, err := w.Write(append([]byte{byte(len(b)), byte(len(b) >> 8), byte(len(b) >> 16), number}, b...))
	return err
}

// smb answers the negotiation of dialects (MS-SMB2 2.2.4) and refuses what follows.
func smb(_ *Trap, w *watched, s *Session) error {
	for range attempts {
		var head [4]byte
		if _, err := io.ReadFull(w, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[:]) & 0xffffff)
		if size < 8 || size > maxBulk {
			return fmt.Errorf("read message: %d bytes", size)
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(w, b); err != nil {
			return err
		}
		command, id := uint16(0), uint64(0)
		switch {
		case b[0] == 0xff:
			s.note("SMB1 command " + strconv.Itoa(int(b[4])))
			for _, dialect := range bytes.Split(b, []byte{2})[1:] {
				s.note("dialect " + string(bytes.TrimRight(dialect, "\x00")))
			}
		case size >= 64:
			command, id = binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint64(b[24:])
			s.note("SMB2 command " + strconv.Itoa(int(command)))
		}
		if _, err := w.Write(smbAnswer(command, id)); err != nil {
			return err
		}
	}
	return nil
}

// smbAnswer is dialect 2.0.2 without security blob, or "access denied" to any other command.
func smbAnswer(command uint16, id uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, 4+64, 4+64+64)
	h := b[4:]
	copy(h, "\xfeSMB")
	le.PutUint16(h[4:], 64)
	le.PutUint16(h[12:], command)
	le.PutUint16(h[14:], 1)
	le.PutUint32(h[16:], 1) // From the server.
	le.PutUint64(h[24:], id)
	if command == 0 {
		body := make([]byte, 64)
		le.PutUint16(body, 65)
		le.PutUint16(body[2:], 1) // Signing enabled.
		le.PutUint16(body[4:], 0x0202)
		copy(body[8:], "hauberk decoy ID")
		for at := 28; at < 40; at += 4 {
			le.PutUint32(body[at:], 1<<16)
		}
		le.PutUint64(body[40:], uint64(time.Now().UnixNano()/100)+116444736000000000)
		le.PutUint16(body[56:], 128)
		b = append(b, body...)
	} else {
		le.PutUint32(h[8:], 0xc0000022)
		b = append(b, 9, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// rdp answers the connection request (MS-RDPBCGR 2.2.1.1) with TLS when the client has it, and ends with the handshake.
func rdp(t *Trap, w *watched, s *Session) error {
	var head [4]byte
	if _, err := io.ReadFull(w, head[:]); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[2:])) - 4
	if size < 7 || size > maxBulk {
		return fmt.Errorf("read connection request: %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(w, b); err != nil {
		return err
	}
	if _, rest, ok := bytes.Cut(b, []byte("Cookie: mstshash=")); ok {
		user, _, _ := bytes.Cut(rest, []byte("\r\n"))
		s.try(string(user), "", "mstshash")
	}
	tls := size >= 15 && b[size-8] == 1 && b[size-4]&1 != 0
	answer := []byte{3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 0, 0, 0, 0}
	if tls {
		answer[15] = 1
	}
	if _, err := w.Write(answer); err != nil || !tls {
		return err
	}
	_, err := t.handshake(w, s)
	return err
}
