package suricata

import "testing"

// What Suricata 8.0.8 logs for these rules, by its own test suite.
func TestOriginal(t *testing.T) {
	const bounded = "can't use a relative keyword like within/distance with a absolute relative keyword like depth/offset for the same content."
	for options, want := range map[string]string{
		`content:"a"; depth:-5`:                     "invalid value for depth: -5.",
		`content:"abcd"; dsize:2`:                   "signature can't match as required content length 4 exceeds dsize value 2",
		`content:"a"; depth:5; depth:5`:             "can't use multiple depths for the same content.",
		`content:"a"; offset:5; offset:5`:           "can't use multiple offsets for the same content.",
		`content:"a"; depth:5; distance:5`:          bounded,
		`content:"a"; within:5; offset:5`:           bounded,
		`content:"|l0 01 01|"`:                      "Invalid hex code in content - |l0 01 01|, hex l. Invalidating signature.",
		`content:"|22 2 22|"`:                       "Incomplete hex code in content - |22 2 22|. Invalidating signature.",
		`http.host; content:"A"`:                    "rule 7: A pattern with uppercase characters detected for http.host. The hostname buffer is normalized to lowercase, please specify a lowercase pattern.",
		`content:"AA" depth:20`:                     `bad option value formatting (possible missing semicolon) for keyword content: '"AA" depth:20'`,
		`nocse`:                                     "unknown rule keyword 'nocse'.",
		`content:"a"; byte_jump:4,no_var`:           "Unknown byte_extract var seen in byte_jump - no_var",
		`http.uri; strip_whitespace; content:"a b"`: `content string "a b" incompatible with strip_whitespace transform`,
		`pcrexform:a; content:"a"`:                  "invalid formatting to pcrexform keyword: value must be double quoted",
		`ttl`:                                       "invalid formatting or malformed option to ttl keyword: ''",
		`content:"a"; threshold:type both`:          "",
	} {
		set := ParseText(`alert tcp any any -> any any (`+options+`; sid:7;)`, "f", Options{})
		if len(set.Errors) == 0 {
			t.Errorf("%s: no error", options)
		} else if got := set.Errors[0].Original(); want == "" && got != set.Errors[0].Reason || want != "" && got != want {
			t.Errorf("%s:\n%s\nwant\n%s", options, got, want)
		}
	}
}
