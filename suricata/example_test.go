package suricata_test

import (
	"fmt"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

func Example() {
	rule, err := suricata.Parse(`alert http $HOME_NET any -> any any (msg:"Login by GET"; ` +
		`http.method; content:"GET"; http.uri; content:"/login?"; startswith; content:"password="; distance:0; sid:1000001; rev:1;)`)
	if err != nil {
		fmt.Println(err)
		return
	}
	vars := netset.Vars{AddressGroups: map[string]string{"HOME_NET": "192.168.0.0/16"}}
	c, err := suricata.NewCompiler(vars).Compile(rule)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Type, c.Dir)
	for _, chain := range c.Chains() {
		fmt.Println(chain.Buffer, len(chain.Steps))
	}
	fmt.Printf("scan %s for %q\n", c.Chains()[c.Fast.Chain].Buffer, c.Fast.Bytes)
	// Output:
	// app_tx to_server
	// http.method 1
	// http.uri 2
	// scan http.uri for "password="
}

func ExampleParseText() {
	set := suricata.ParseText("alert tcp any any -> any any (content:\"a\"; \\\n  depth:0; nocse; sid:7;)\n"+
		"alert tcp any any -> any any (sid:8;)\n", "my.rules", suricata.Options{})
	fmt.Println(len(set.Rules), "rule")
	fmt.Println(set.Errors)
	// Output:
	// 1 rule
	// my.rules:2:12: sid 7: nocse: unknown keyword "nocse"
}
