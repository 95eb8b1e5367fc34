// Package imap recognises IMAP (RFC 9051).
package imap

import "github.com/hauberk/hauberk/sensor/internal/app"

// Protocol is IMAP, which is recognised by the first line of either side and
// not parsed.
var Protocol = &app.Protocol{Name: "imap", Transport: app.TCP, Signatures: signatures()}

func signatures() (list []app.Signature) {
	for _, text := range []string{"* OK ", "* NO ", "* BAD ", "* LIST ", "* ESEARCH ", "* STATUS ", "* FLAGS "} {
		list = append(list, app.Signature{Dir: app.ToClient, Text: text, Fold: true, Depth: len(text)})
	}
	const command, tag = " CAPABILITY", 17 // Behind a tag of the client's making.
	return append(list, app.Signature{Dir: app.ToServer, Text: command, Fold: true, Offset: 1, Depth: tag + len(command)})
}
