package sensor

import (
	"errors"

	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/suricata"
)

// Central is a config of the centre for sensors.
type Central struct {
	// Rules are in the rule language; the sensor has them beside its own.
	Rules string `yaml:"rules"`
}

// DecodeCentral reads one, and refuses it whole if a key is unknown or a rule is wrong.
func DecodeCentral(body []byte) (Central, error) {
	var c Central
	if err := conf.Unmarshal(body, &c); err != nil {
		return c, err
	}
	set := suricata.ParseText(c.Rules, "rules", suricata.Options{})
	var errs []error
	for _, e := range set.Errors {
		errs = append(errs, e)
	}
	return c, errors.Join(errs...)
}

// CheckCentral says why sensors would refuse a config of the centre.
func CheckCentral(body []byte) error {
	_, err := DecodeCentral(body)
	return err
}
