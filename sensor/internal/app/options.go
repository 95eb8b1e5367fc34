package app

import "github.com/hauberk/hauberk/sensor/internal/yamlconf"

// On says whether the option at a key is there and on.
func On(get func(key string) (string, bool), key string) bool {
	text, _ := get(key)
	return yamlconf.IsTrue(text)
}
