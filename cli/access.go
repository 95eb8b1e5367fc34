package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// enrolmentToken is the API's EnrolmentToken.
type enrolmentToken struct {
	ID       string            `json:"id"`
	Tenant   string            `json:"tenant"`
	Kind     string            `json:"kind"`
	Labels   map[string]string `json:"labels"`
	UsesLeft uint64            `json:"uses_left"`
	Expires  instant           `json:"expires"`
	Author   string            `json:"author"`
	Token    string            `json:"token"`
	Gateway  string            `json:"gateway"`
}

func (s *session) tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Let other machines join",
		Long: `Let other machines join. A token carries the tenant, the labels its nodes get and
the pin of this centre's authority. It is shown once; only its hash is kept.`,
		Example: `  hauberk token create                              one machine, within a day
  hauberk token create --uses 50 --expires 2h --label env=prod
  # then on the other machine
  hauberk-agent enroll --server HOST:7443 --token hbk1...`,
	}
	var tenant, kind, life string
	var labels map[string]string
	var uses uint32
	create := &cobra.Command{
		Use: "create", Short: "Make a token and show it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := parseSpan(life)
			if err != nil {
				return &usageError{"--expires " + err.Error()}
			}
			in := map[string]any{"tenant": tenant, "kind": kind, "labels": labels, "uses": uses, "seconds": int64(d / time.Second)}
			return s.change(c, http.MethodPost, "/api/v1/enrolment-tokens", nil, in, func(p *printer, raw json.RawMessage) error {
				t, err := decode[enrolmentToken](raw)
				if err == nil {
					fmt.Fprintln(c.ErrOrStderr(), "this is shown once; on the other machine:  hauberk-agent enroll --server HOST:7443 --token TOKEN")
					_, err = fmt.Fprintln(p.out, clean(t.Token))
				}
				return err
			})
		},
	}
	f := create.Flags()
	f.StringVar(&tenant, "tenant", "", "whose nodes they become")
	f.StringVar(&kind, "kind", "", "only nodes of this kind")
	f.StringToStringVar(&labels, "label", nil, "label of the nodes, k=v")
	f.Uint32Var(&uses, "uses", 1, "how many machines may join with it")
	f.StringVar(&life, "expires", "1d", "how long it lasts")
	list := &cobra.Command{
		Use: "list", Short: "List the tokens that can still be used", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"ID", "TENANT", "KIND", "USES LEFT", "EXPIRES", "LABELS", "BY"}}
			return s.list(c, "/api/v1/enrolment-tokens", nil, 0, t, "no tokens", func(raw json.RawMessage) error {
				v, err := decode[enrolmentToken](raw)
				if err == nil {
					t.add(v.ID, v.Tenant, v.Kind, fmt.Sprint(v.UsesLeft), v.Expires.clock(), pairs(v.Labels), v.Author)
				}
				return err
			})
		},
	}
	c.AddCommand(create, list, s.remove("revoke ID", "Take a token back; who joined with it stays", "/api/v1/enrolment-tokens/"))
	return c
}

// remove makes a command that deletes a thing by its id.
func (s *session) remove(use, short, path string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodDelete, path+url.PathEscape(args[0]), nil, nil, said("%s is gone", args[0]))
		},
	}
}

// apiToken is the API's Token.
type apiToken struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	User    string  `json:"user"`
	Role    string  `json:"role"`
	Expires instant `json:"expires"`
	Token   string  `json:"token"`
}

func (s *session) apiTokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "api-token",
		Short: "Let programs use the API",
		Example: `  hauberk api-token create "grafana" --role viewer
  hauberk --server https://centre:8443 --token ... alerts --json`,
	}
	var role, life string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a token and show it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parseSpan(life)
			if err != nil {
				return &usageError{"--expires " + err.Error()}
			}
			in := map[string]any{"name": args[0], "role": role, "seconds": int64(d / time.Second)}
			return s.change(c, http.MethodPost, "/api/v1/tokens", nil, in, func(p *printer, raw json.RawMessage) error {
				t, err := decode[apiToken](raw)
				if err == nil {
					fmt.Fprintln(c.ErrOrStderr(), "this is shown once; give it by --token or $HAUBERK_TOKEN")
					_, err = fmt.Fprintln(p.out, clean(t.Token))
				}
				return err
			})
		},
	}
	create.Flags().StringVar(&role, "role", "viewer", "viewer, analyst or admin; at most your own")
	create.Flags().StringVar(&life, "expires", "90d", "how long it lasts")
	list := &cobra.Command{
		Use: "list", Short: "List API tokens", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"ID", "NAME", "USER", "ROLE", "EXPIRES"}}
			return s.list(c, "/api/v1/tokens", nil, 0, t, "no API tokens", func(raw json.RawMessage) error {
				v, err := decode[apiToken](raw)
				if err == nil {
					t.add(v.ID, v.Name, v.User, v.Role, v.Expires.clock())
				}
				return err
			})
		},
	}
	c.AddCommand(create, list, s.remove("revoke ID", "End a token", "/api/v1/tokens/"))
	return c
}

// user is the API's User.
type user struct {
	Name       string  `json:"name"`
	Role       string  `json:"role"`
	MustChange bool    `json:"must_change_password"`
	Created    instant `json:"created"`
	LastLogin  instant `json:"last_login"`
}

func (s *session) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Manage who may log in to the console",
		Long: `Manage who may log in to the console. Viewers read, analysts also handle alerts and
exceptions, admins do everything. Without a password of your own (--password-stdin)
a one-time password is made, which the first log-in replaces.`,
		Example: `  hauberk user add alice --role analyst
  hauberk user passwd admin              a new one-time password, if it was lost
  hauberk user role alice admin`,
	}
	list := &cobra.Command{
		Use: "list", Short: "List users", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t := &table{head: []string{"NAME", "ROLE", "LAST LOG-IN", "PASSWORD"}}
			p := s.printer(c)
			return s.list(c, "/api/v1/users", nil, 0, t, "no users", func(raw json.RawMessage) error {
				v, err := decode[user](raw)
				if err == nil {
					password := "own"
					if v.MustChange {
						password = "one-time"
					}
					t.add(v.Name, v.Role, p.ago(v.LastLogin), password)
				}
				return err
			})
		},
	}
	var role string
	add := s.passwordCommand("add NAME", "Let somebody log in", func(name, password string) (string, string, any) {
		return http.MethodPost, "/api/v1/users", map[string]string{"name": name, "role": role, "password": password}
	})
	add.Flags().StringVar(&role, "role", "viewer", "viewer, analyst or admin")
	passwd := s.passwordCommand("passwd NAME", "Give somebody a new password; their sessions end", func(name, password string) (string, string, any) {
		return http.MethodPut, "/api/v1/users/" + url.PathEscape(name) + "/password", map[string]string{"password": password}
	})
	setRole := &cobra.Command{
		Use: "role NAME ROLE", Short: "Change what somebody may do", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return s.change(c, http.MethodPut, "/api/v1/users/"+url.PathEscape(args[0])+"/role", nil, map[string]string{"role": args[1]}, said("%s is %s", args[0], args[1]))
		},
	}
	c.AddCommand(list, add, passwd, setRole, s.remove("delete NAME", "Remove a user, their sessions and tokens", "/api/v1/users/"))
	return c
}

// passwordCommand makes a command that gives somebody a password.
func (s *session) passwordCommand(use, short string, request func(name, password string) (method, path string, body any)) *cobra.Command {
	var stdin bool
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			password := ""
			if stdin {
				var err error
				if password, err = readPassword(c); err != nil {
					return err
				}
			}
			method, path, body := request(args[0], password)
			return s.change(c, method, path, nil, body, func(p *printer, raw json.RawMessage) error {
				made, err := decode[struct {
					Password string `json:"password"`
				}](raw)
				if err != nil || made.Password == "" {
					return err
				}
				_, err = fmt.Fprintf(p.out, "one-time password of %s: %s\n", clean(args[0]), clean(made.Password))
				return err
			})
		},
	}
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input (asked for on a terminal)")
	return c
}

// maxPassword bounds a password read, in bytes.
const maxPassword = 1024

func readPassword(c *cobra.Command) (string, error) {
	if f, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(c.ErrOrStderr(), "password: ")
		secret, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(c.ErrOrStderr())
		return string(secret), err
	}
	data, err := io.ReadAll(io.LimitReader(c.InOrStdin(), maxPassword))
	return strings.TrimRight(string(data), "\r\n"), err
}
