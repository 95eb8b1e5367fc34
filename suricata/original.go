package suricata

import (
	"fmt"
	"strconv"
	"strings"
)

// originals are the original's words for reasons that ours begin with. %k is
// the keyword, %v what the reason quotes, %s the sid.
var originals = []struct{ keyword, reason, text string }{
	{"", "given twice for the same content", "can't use multiple %ks for the same content."},
	{"", "depth or offset is given: a content is bounded", "can't use a relative keyword like within/distance with a absolute relative keyword like depth/offset for the same content."},
	{"", "distance or within is given: a content is bounded", "can't use a relative keyword like within/distance with a absolute relative keyword like depth/offset for the same content."},
	{"", "needs a content before it", "%k needs preceding content, uricontent option, http_client_body, http_server_body, http_header option, http_raw_header option, " +
		"http_method option, http_cookie, http_raw_uri, http_stat_msg, http_stat_code, http_user_agent, http_host, http_raw_host or file_data/dce_stub_data sticky buffer options."},
	{"", "upper-case pattern", "rule %s: A pattern with uppercase characters detected for http.host. The hostname buffer is normalized to lowercase, please specify a lowercase pattern."},
	{"", "a negated content with fast_pattern cannot be bounded", "can't have a relative negated keyword set along with 'fast_pattern'."},
	{"", "a content with fast_pattern:only cannot be bounded", "can't have a relative keyword set along with 'fast_pattern:only;'."},
	{"", "cannot be used with base64_data", "fast_pattern cannot be used with base64_data"},
	{"", "unknown keyword ", "unknown rule keyword '%v'."},
	{"byte_jump", "unknown variable ", "Unknown byte_extract var seen in byte_jump - %v"},
	{"byte_math", "unknown variable ", "unknown byte_ keyword var seen in byte_math - %v"},
	{"", "unknown variable ", "Unknown byte_extract var seen in %k - %v"},
	{"", "argument must be in double quotes", "invalid formatting to %k keyword: value must be double quoted"},
	{"", "needs an argument", "invalid formatting or malformed option to %k keyword: ''"},
}

// Original is the reason in the words of Suricata's own log, which scripts look
// for; where it has none that is known, Reason.
func (e *Error) Original() string {
	for _, o := range originals {
		if strings.HasPrefix(e.Reason, o.reason) && (o.keyword == "" || o.keyword == e.Keyword) {
			_, quoted, _ := strings.Cut(e.Reason, `"`)
			quoted, _, _ = strings.Cut(quoted, `"`)
			return strings.NewReplacer("%k", e.Keyword, "%v", quoted, "%s", fmt.Sprint(e.SID)).Replace(o.text)
		}
	}
	var a, b int64
	if code, c, ok := strings.Cut(e.Reason, "|: "); ok && strings.HasPrefix(code, "invalid hex code in |") {
		if digit, err := strconv.Unquote(c); err == nil {
			return fmt.Sprintf("Invalid hex code in content - %s|, hex %s. Invalidating signature.", strings.TrimPrefix(code, "invalid hex code in "), digit)
		}
	}
	if code, ok := strings.CutPrefix(e.Reason, "incomplete hex code in "); ok {
		return "Incomplete hex code in content - " + code + ". Invalidating signature."
	}
	if text, ok := strings.CutPrefix(e.Reason, "quotes are not closed, is a semicolon missing? "); ok {
		return fmt.Sprintf("bad option value formatting (possible missing semicolon) for keyword %s: '%s'", e.Keyword, text)
	}
	if value, _, ok := strings.Cut(e.Reason, " is not between "); ok && !strings.Contains(value, " ") {
		return fmt.Sprintf("invalid value for %s: %s.", e.Keyword, value)
	}
	if _, err := fmt.Sscanf(e.Reason, "cannot match: the contents need %d bytes, it allows %d", &a, &b); err == nil {
		return fmt.Sprintf("signature can't match as required content length %d exceeds %s value %d", a, e.Keyword, b)
	}
	if pattern, name, ok := strings.Cut(e.Reason, " cannot be in a buffer after "); ok {
		return fmt.Sprintf("content string %s incompatible with %s transform", pattern, name)
	}
	return e.Reason
}
