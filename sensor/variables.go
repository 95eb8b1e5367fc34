package sensor

import "github.com/hauberk/hauberk/suricata/netset"

// Variables are the address and port groups that the configuration gives rules.
func Variables(c Config) (netset.Vars, error) {
	tree, err := c.load()
	if err != nil {
		return netset.Vars{}, err
	}
	return variables(tree), nil
}
