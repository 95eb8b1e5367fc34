// Package protocols is the list of the application protocols a sensor knows,
// in the order in which an unknown flow is asked for them.
package protocols

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/dcerpc"
	"github.com/hauberk/hauberk/sensor/internal/app/dhcp"
	"github.com/hauberk/hauberk/sensor/internal/app/dht"
	"github.com/hauberk/hauberk/sensor/internal/app/dns"
	"github.com/hauberk/hauberk/sensor/internal/app/enip"
	"github.com/hauberk/hauberk/sensor/internal/app/ftp"
	"github.com/hauberk/hauberk/sensor/internal/app/http1"
	"github.com/hauberk/hauberk/sensor/internal/app/http2"
	"github.com/hauberk/hauberk/sensor/internal/app/ike"
	"github.com/hauberk/hauberk/sensor/internal/app/imap"
	"github.com/hauberk/hauberk/sensor/internal/app/krb5"
	"github.com/hauberk/hauberk/sensor/internal/app/ldap"
	"github.com/hauberk/hauberk/sensor/internal/app/modbus"
	"github.com/hauberk/hauberk/sensor/internal/app/mqtt"
	"github.com/hauberk/hauberk/sensor/internal/app/nfs"
	"github.com/hauberk/hauberk/sensor/internal/app/ntp"
	"github.com/hauberk/hauberk/sensor/internal/app/pgsql"
	"github.com/hauberk/hauberk/sensor/internal/app/pop3"
	"github.com/hauberk/hauberk/sensor/internal/app/quic"
	"github.com/hauberk/hauberk/sensor/internal/app/rdp"
	"github.com/hauberk/hauberk/sensor/internal/app/rfb"
	"github.com/hauberk/hauberk/sensor/internal/app/sip"
	"github.com/hauberk/hauberk/sensor/internal/app/smb"
	"github.com/hauberk/hauberk/sensor/internal/app/smtp"
	"github.com/hauberk/hauberk/sensor/internal/app/snmp"
	"github.com/hauberk/hauberk/sensor/internal/app/ssh"
	"github.com/hauberk/hauberk/sensor/internal/app/telnet"
	"github.com/hauberk/hauberk/sensor/internal/app/tftp"
	"github.com/hauberk/hauberk/sensor/internal/app/tls"
	"github.com/hauberk/hauberk/sensor/internal/app/websocket"
)

// All are the protocols.
func All() []*app.Protocol {
	return []*app.Protocol{
		http1.Protocol,
		dns.Protocol,
		ssh.Protocol,
		tls.Protocol,
		mqtt.Protocol,
		websocket.Protocol,
		http2.Protocol,
		quic.Protocol,
		smtp.Protocol,
		smb.Protocol,
		dcerpc.Protocol,
		rdp.Protocol,
		modbus.Protocol,
		nfs.Protocol,
		enip.Protocol,
		ike.Protocol,
		krb5.Protocol,
		ldap.Protocol,
		pgsql.Protocol,
		ftp.Protocol,
		ftp.Data,
		sip.Protocol,
		dhcp.Protocol,
		ntp.Protocol,
		snmp.Protocol,
		tftp.Protocol,
		rfb.Protocol,
		pop3.Protocol,
		telnet.Protocol,
		imap.Protocol,
		dht.Protocol,
	}
}
