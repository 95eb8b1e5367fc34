package suricata

import "fmt"

// A Buffer is something contents are searched in: the payload, or a part of
// a transaction that an extractor hands out. The engine indexes its extractors
// by it. The numbers are not stable between versions: store names.
type Buffer uint16

// Direction is a set of the two ways of a flow.
type Direction uint8

const (
	ToServer Direction = 1 << iota // sent by the client
	ToClient                       // sent by the server

	BothWays = ToServer | ToClient
)

// String is "to_server", "to_client", "both" or "none".
func (d Direction) String() string {
	return [...]string{"none", "to_server", "to_client", "both"}[d&BothWays]
}

// BufferInfo is what is known of a buffer without seeing traffic.
type BufferInfo struct {
	Name string // of its sticky buffer
	// Protos are the application protocols that have it; none: every packet has it.
	Protos []string
	Dir    Direction
	// Priority decides between buffers when the fast pattern is chosen: 1 is
	// preferred to 4 (section "fast_pattern" of the user guide).
	Priority int
	Traits   Trait
	Doc      string
}

// A Trait of a buffer.
type Trait uint8

const (
	Multi  Trait = 1 << iota // one transaction has several; each selection is a chain of its own
	Packet                   // a header of the packet, not part of the stream
	Stream                   // grows while it is inspected
	File                     // belongs to a file in transfer
	Lower                    // normalised to lower case: an upper-case pattern never matches
	MD5                      // 32 lower-case hex digits
)

// Has reports whether all of t are traits of the buffer.
func (i *BufferInfo) Has(t Trait) bool { return i.Traits&t == t }

// Info describes the buffer.
func (b Buffer) Info() *BufferInfo {
	if int(b) >= len(buffers) {
		return &buffers[NoBuffer]
	}
	return &buffers[b]
}

// String is the name of the buffer's sticky keyword.
func (b Buffer) String() string {
	if int(b) >= len(buffers) {
		return fmt.Sprintf("buffer(%d)", uint16(b))
	}
	return buffers[b].Name
}

// NumBuffers is one more than the highest Buffer.
const NumBuffers = int(numBuffers)

// The buffers of Suricata 8, by protocol.
const (
	NoBuffer Buffer = iota
	// BufPayload is the payload of a packet and the reassembled stream.
	BufPayload
	// BufBase64 is what base64_decode decoded.
	BufBase64
	// BufFrame is a frame of an application protocol; the chain names which.
	BufFrame
	BufHTTPMethod
	BufHTTPURI
	BufHTTPURIRaw
	BufHTTPRequestLine
	BufHTTPRequestBody
	BufHTTPRequestHeader
	BufHTTPUserAgent
	BufHTTPHost
	BufHTTPHostRaw
	BufHTTPAccept
	BufHTTPAcceptEnc
	BufHTTPAcceptLang
	BufHTTPReferer
	BufHTTPHeader
	BufHTTPHeaderRaw
	BufHTTPHeaderNames
	BufHTTPCookie
	BufHTTPContentLen
	BufHTTPContentType
	BufHTTPConnection
	BufHTTPProtocol
	BufHTTPStart
	BufHTTPResponseHeader
	BufHTTPResponseLine
	BufHTTPResponseBody
	BufHTTPStatCode
	BufHTTPStatMsg
	BufHTTPServer
	BufHTTPLocation
	BufHTTP2HeaderName
	BufFileData
	BufFileName
	BufFileMagic
	BufDNSQuery
	BufDNSQueryName
	BufDNSAnswerName
	BufDNSQueriesName
	BufDNSAnswersName
	BufDNSAuthoritiesName
	BufDNSAdditionalsName
	BufDNSResponseName
	BufMDNSQueriesName
	BufMDNSAnswersName
	BufMDNSAuthoritiesName
	BufMDNSAdditionalsName
	BufMDNSResponseName
	BufTLSSNI
	BufTLSCerts
	BufTLSCertSubject
	BufTLSCertIssuer
	BufTLSCertSerial
	BufTLSCertFingerprint
	BufTLSSubjectaltname
	BufTLSALPN
	BufTLSRandom
	BufTLSRandomTime
	BufTLSRandomBytes
	BufJA3Hash
	BufJA3String
	BufJA3SHash
	BufJA3SString
	BufJA4Hash
	BufQUICSNI
	BufQUICUA
	BufQUICVersion
	BufQUICCYUHash
	BufQUICCYUString
	BufSSHProto
	BufSSHSoftware
	BufSSHHASSH
	BufSSHHASSHString
	BufSSHHASSHServer
	BufSSHHASSHServerString
	BufSMTPHelo
	BufSMTPMailFrom
	BufSMTPRcptTo
	BufEmailFrom
	BufEmailSubject
	BufEmailTo
	BufEmailCc
	BufEmailDate
	BufEmailMessageID
	BufEmailXMailer
	BufEmailURL
	BufEmailReceived
	BufFTPCommand
	BufFTPCommandData
	BufFTPReply
	BufFTPCompletionCode
	BufSMBNamedPipe
	BufSMBShare
	BufSMBNTLMSSPUser
	BufSMBNTLMSSPDomain
	BufDCERPCStubData
	BufKrb5Cname
	BufKrb5Sname
	BufSNMPCommunity
	BufSNMPUSM
	BufSIPMethod
	BufSIPURI
	BufSIPRequestLine
	BufSIPProtocol
	BufSIPStatCode
	BufSIPStatMsg
	BufSIPResponseLine
	BufSIPFrom
	BufSIPTo
	BufSIPVia
	BufSIPUserAgent
	BufSIPContentType
	BufSIPContentLength
	BufSDPSessionName
	BufSDPSessionInfo
	BufSDPOrigin
	BufSDPURI
	BufSDPEmail
	BufSDPPhoneNumber
	BufSDPConnectionData
	BufSDPBandwidth
	BufSDPTime
	BufSDPRepeatTime
	BufSDPTimezone
	BufSDPEncryptionKey
	BufSDPAttribute
	BufSDPMediaMedia
	BufSDPMediaMediaInfo
	BufSDPMediaConnectionData
	BufSDPMediaEncryptionKey
	BufMQTTConnectClientid
	BufMQTTConnectUsername
	BufMQTTConnectPassword
	BufMQTTConnectWilltopic
	BufMQTTConnectWillmessage
	BufMQTTConnectProtocolString
	BufMQTTPublishTopic
	BufMQTTPublishMessage
	BufMQTTSubscribeTopic
	BufMQTTUnsubscribeTopic
	BufRFBName
	BufLDAPRequestDN
	BufLDAPRequestAttributeType
	BufLDAPResponsesDN
	BufLDAPResponsesMessage
	BufLDAPResponsesAttributeType
	BufPgSQLQuery
	BufWebSocketPayload
	BufENIPProductName
	BufENIPServiceName
	BufDNP3Data
	BufIKEInitSPI
	BufIKERespSPI
	BufIKEVendor
	BufIKEKeyExchangePayload
	BufIKENoncePayload
	BufNTPReferenceID
	BufTemplateBuffer
	BufIPSrc
	BufIPDst
	BufIPv4Hdr
	BufIPv6Hdr
	BufTCPHdr
	BufUDPHdr
	BufICMPv4Hdr
	BufICMPv6Hdr
	numBuffers
)

// app makes the description of a buffer of application protocols.
func app(name, doc string, dir Direction, priority int, traits Trait, protos ...string) BufferInfo {
	return BufferInfo{Name: name, Doc: doc, Dir: dir, Priority: priority, Traits: traits, Protos: protos}
}

var buffers = [numBuffers]BufferInfo{
	NoBuffer:   {Name: "none"},
	BufPayload: {Name: "pkt_data", Dir: BothWays, Priority: 3, Doc: "payload of a packet, and the reassembled stream"},
	BufBase64:  {Name: "base64_data", Dir: BothWays, Doc: "what base64_decode decoded"},
	BufFrame:   {Name: "frame", Dir: BothWays, Priority: 2, Traits: Stream, Doc: "a frame of an application protocol"},

	BufHTTPMethod:                 app("http.method", "request method", ToServer, 4, 0, "http"),
	BufHTTPURI:                    app("http.uri", "normalised request URI", ToServer, 2, 0, "http"),
	BufHTTPURIRaw:                 app("http.uri.raw", "request URI as sent", ToServer, 2, 0, "http"),
	BufHTTPRequestLine:            app("http.request_line", "first line of the request", ToServer, 2, 0, "http"),
	BufHTTPRequestBody:            app("http.request_body", "request body", ToServer, 2, Stream, "http"),
	BufHTTPRequestHeader:          app("http.request_header", "one request header, name: value", ToServer, 2, Multi, "http"),
	BufHTTPUserAgent:              app("http.user_agent", "User-Agent header", ToServer, 2, 0, "http"),
	BufHTTPHost:                   app("http.host", "normalised host name, lower case", ToServer, 2, Lower, "http"),
	BufHTTPHostRaw:                app("http.host.raw", "host name as sent", ToServer, 2, 0, "http"),
	BufHTTPAccept:                 app("http.accept", "Accept header", ToServer, 2, 0, "http"),
	BufHTTPAcceptEnc:              app("http.accept_enc", "Accept-Encoding header", ToServer, 2, 0, "http"),
	BufHTTPAcceptLang:             app("http.accept_lang", "Accept-Language header", ToServer, 2, 0, "http"),
	BufHTTPReferer:                app("http.referer", "Referer header", ToServer, 2, 0, "http"),
	BufHTTPHeader:                 app("http.header", "normalised headers", BothWays, 2, 0, "http"),
	BufHTTPHeaderRaw:              app("http.header.raw", "headers as sent", BothWays, 2, 0, "http"),
	BufHTTPHeaderNames:            app("http.header_names", "header names in order", BothWays, 2, 0, "http"),
	BufHTTPCookie:                 app("http.cookie", "Cookie or Set-Cookie header", BothWays, 2, 0, "http"),
	BufHTTPContentLen:             app("http.content_len", "Content-Length header", BothWays, 2, 0, "http"),
	BufHTTPContentType:            app("http.content_type", "Content-Type header", BothWays, 2, 0, "http"),
	BufHTTPConnection:             app("http.connection", "Connection header", BothWays, 2, 0, "http"),
	BufHTTPProtocol:               app("http.protocol", "protocol and version", BothWays, 2, 0, "http"),
	BufHTTPStart:                  app("http.start", "request or status line with headers", BothWays, 2, 0, "http1"),
	BufHTTPResponseHeader:         app("http.response_header", "one response header, name: value", ToClient, 2, Multi, "http"),
	BufHTTPResponseLine:           app("http.response_line", "status line", ToClient, 2, 0, "http"),
	BufHTTPResponseBody:           app("http.response_body", "response body", ToClient, 2, Stream, "http"),
	BufHTTPStatCode:               app("http.stat_code", "status code", ToClient, 4, 0, "http"),
	BufHTTPStatMsg:                app("http.stat_msg", "status message", ToClient, 3, 0, "http"),
	BufHTTPServer:                 app("http.server", "Server header", ToClient, 2, 0, "http"),
	BufHTTPLocation:               app("http.location", "Location header", ToClient, 2, 0, "http"),
	BufHTTP2HeaderName:            app("http2.header_name", "one HTTP/2 header name", BothWays, 2, Multi, "http2"),
	BufFileData:                   app("file.data", "content of a file in transfer", BothWays, 2, Stream|File, "http", "smtp", "ftp-data", "smb", "nfs", "http2"),
	BufFileName:                   app("file.name", "name of a file in transfer", BothWays, 2, File, "http", "smtp", "ftp", "ftp-data", "smb", "nfs", "http2"),
	BufFileMagic:                  app("file.magic", "libmagic description of a file", BothWays, 2, File, "http", "smtp", "ftp-data", "smb", "nfs", "http2"),
	BufDNSQuery:                   app("dns.query", "one name asked for", ToServer, 2, Multi, "dns"),
	BufDNSQueryName:               app("dns.query.name", "one name in the query section", BothWays, 2, Multi, "dns"),
	BufDNSAnswerName:              app("dns.answer.name", "one name in the answer section", BothWays, 2, Multi, "dns"),
	BufDNSQueriesName:             app("dns.queries.rrname", "one name in the query section", BothWays, 2, Multi, "dns"),
	BufDNSAnswersName:             app("dns.answers.rrname", "one name in the answer section", BothWays, 2, Multi, "dns"),
	BufDNSAuthoritiesName:         app("dns.authorities.rrname", "one name in the authority section", BothWays, 2, Multi, "dns"),
	BufDNSAdditionalsName:         app("dns.additionals.rrname", "one name in the additional section", BothWays, 2, Multi, "dns"),
	BufDNSResponseName:            app("dns.response.rrname", "one name in any section of a response", ToClient, 2, Multi, "dns"),
	BufMDNSQueriesName:            app("mdns.queries.rrname", "one name in the query section", BothWays, 2, Multi, "mdns"),
	BufMDNSAnswersName:            app("mdns.answers.rrname", "one name in the answer section", BothWays, 2, Multi, "mdns"),
	BufMDNSAuthoritiesName:        app("mdns.authorities.rrname", "one name in the authority section", BothWays, 2, Multi, "mdns"),
	BufMDNSAdditionalsName:        app("mdns.additionals.rrname", "one name in the additional section", BothWays, 2, Multi, "mdns"),
	BufMDNSResponseName:           app("mdns.response.rrname", "one name in any section of a response", BothWays, 2, Multi, "mdns"),
	BufTLSSNI:                     app("tls.sni", "server name indication", ToServer, 2, 0, "tls"),
	BufTLSCerts:                   app("tls.certs", "one certificate, DER", BothWays, 2, Multi, "tls"),
	BufTLSCertSubject:             app("tls.cert_subject", "subject of the first certificate", BothWays, 2, 0, "tls"),
	BufTLSCertIssuer:              app("tls.cert_issuer", "issuer of the first certificate", BothWays, 2, 0, "tls"),
	BufTLSCertSerial:              app("tls.cert_serial", "serial number of the first certificate, upper case hex", BothWays, 2, 0, "tls"),
	BufTLSCertFingerprint:         app("tls.cert_fingerprint", "SHA-1 of the first certificate, lower case hex", BothWays, 2, Lower, "tls"),
	BufTLSSubjectaltname:          app("tls.subjectaltname", "one subject alternative name", BothWays, 2, Multi, "tls"),
	BufTLSALPN:                    app("tls.alpn", "one ALPN protocol", BothWays, 2, Multi, "tls"),
	BufTLSRandom:                  app("tls.random", "32 random bytes of the hello", BothWays, 2, 0, "tls"),
	BufTLSRandomTime:              app("tls.random_time", "first 4 of the random bytes", BothWays, 2, 0, "tls"),
	BufTLSRandomBytes:             app("tls.random_bytes", "last 28 of the random bytes", BothWays, 2, 0, "tls"),
	BufJA3Hash:                    app("ja3.hash", "MD5 of the JA3 string", ToServer, 2, MD5, "tls", "quic"),
	BufJA3String:                  app("ja3.string", "JA3 string of the client", ToServer, 2, 0, "tls", "quic"),
	BufJA3SHash:                   app("ja3s.hash", "MD5 of the JA3S string", ToClient, 2, MD5, "tls", "quic"),
	BufJA3SString:                 app("ja3s.string", "JA3S string of the server", ToClient, 2, 0, "tls", "quic"),
	BufJA4Hash:                    app("ja4.hash", "JA4 of the client", ToServer, 2, 0, "tls", "quic"),
	BufQUICSNI:                    app("quic.sni", "server name indication", ToServer, 2, 0, "quic"),
	BufQUICUA:                     app("quic.ua", "user agent", ToServer, 2, 0, "quic"),
	BufQUICVersion:                app("quic.version", "version", BothWays, 2, 0, "quic"),
	BufQUICCYUHash:                app("quic.cyu.hash", "MD5 of the CYU string", ToServer, 2, Multi|MD5, "quic"),
	BufQUICCYUString:              app("quic.cyu.string", "CYU string", ToServer, 2, Multi, "quic"),
	BufSSHProto:                   app("ssh.proto", "protocol version", BothWays, 2, 0, "ssh"),
	BufSSHSoftware:                app("ssh.software", "software version", BothWays, 2, 0, "ssh"),
	BufSSHHASSH:                   app("ssh.hassh", "MD5 of the client's algorithms", ToServer, 2, MD5, "ssh"),
	BufSSHHASSHString:             app("ssh.hassh.string", "client's algorithms", ToServer, 2, 0, "ssh"),
	BufSSHHASSHServer:             app("ssh.hassh.server", "MD5 of the server's algorithms", ToClient, 2, MD5, "ssh"),
	BufSSHHASSHServerString:       app("ssh.hassh.server.string", "server's algorithms", ToClient, 2, 0, "ssh"),
	BufSMTPHelo:                   app("smtp.helo", "HELO or EHLO argument", ToServer, 2, 0, "smtp"),
	BufSMTPMailFrom:               app("smtp.mail_from", "MAIL FROM argument", ToServer, 2, 0, "smtp"),
	BufSMTPRcptTo:                 app("smtp.rcpt_to", "one RCPT TO argument", ToServer, 2, Multi, "smtp"),
	BufEmailFrom:                  app("email.from", "From header", ToServer, 2, 0, "smtp"),
	BufEmailSubject:               app("email.subject", "Subject header", ToServer, 2, 0, "smtp"),
	BufEmailTo:                    app("email.to", "To header", ToServer, 2, 0, "smtp"),
	BufEmailCc:                    app("email.cc", "Cc header", ToServer, 2, 0, "smtp"),
	BufEmailDate:                  app("email.date", "Date header", ToServer, 2, 0, "smtp"),
	BufEmailMessageID:             app("email.message_id", "Message-Id header", ToServer, 2, 0, "smtp"),
	BufEmailXMailer:               app("email.x_mailer", "X-Mailer header", ToServer, 2, 0, "smtp"),
	BufEmailURL:                   app("email.url", "one URL of the body", ToServer, 2, Multi, "smtp"),
	BufEmailReceived:              app("email.received", "one Received header", ToServer, 2, Multi, "smtp"),
	BufFTPCommand:                 app("ftp.command", "command", ToServer, 2, 0, "ftp"),
	BufFTPCommandData:             app("ftp.command_data", "argument of the command", ToServer, 2, 0, "ftp"),
	BufFTPReply:                   app("ftp.reply", "one line of the reply", ToClient, 2, Multi, "ftp"),
	BufFTPCompletionCode:          app("ftp.completion_code", "one completion code", ToClient, 2, Multi, "ftp"),
	BufSMBNamedPipe:               app("smb.named_pipe", "name of the pipe", ToServer, 2, 0, "smb"),
	BufSMBShare:                   app("smb.share", "name of the share", ToServer, 2, 0, "smb"),
	BufSMBNTLMSSPUser:             app("smb.ntlmssp_user", "user name of the NTLMSSP authentication", ToServer, 2, 0, "smb"),
	BufSMBNTLMSSPDomain:           app("smb.ntlmssp_domain", "domain of the NTLMSSP authentication", ToServer, 2, 0, "smb"),
	BufDCERPCStubData:             app("dcerpc.stub_data", "stub data of a call", BothWays, 2, Stream, "dcerpc", "smb"),
	BufKrb5Cname:                  app("krb5.cname", "one component of the client's name", BothWays, 2, Multi, "krb5"),
	BufKrb5Sname:                  app("krb5.sname", "one component of the server's name", BothWays, 2, Multi, "krb5"),
	BufSNMPCommunity:              app("snmp.community", "community", BothWays, 2, 0, "snmp"),
	BufSNMPUSM:                    app("snmp.usm", "security user", BothWays, 2, 0, "snmp"),
	BufSIPMethod:                  app("sip.method", "method", ToServer, 2, 0, "sip"),
	BufSIPURI:                     app("sip.uri", "request URI", ToServer, 2, 0, "sip"),
	BufSIPRequestLine:             app("sip.request_line", "request line", ToServer, 2, 0, "sip"),
	BufSIPProtocol:                app("sip.protocol", "protocol", BothWays, 2, 0, "sip"),
	BufSIPStatCode:                app("sip.stat_code", "status code", ToClient, 2, 0, "sip"),
	BufSIPStatMsg:                 app("sip.stat_msg", "status message", ToClient, 2, 0, "sip"),
	BufSIPResponseLine:            app("sip.response_line", "status line", ToClient, 2, 0, "sip"),
	BufSIPFrom:                    app("sip.from", "one From header", BothWays, 2, Multi, "sip"),
	BufSIPTo:                      app("sip.to", "one To header", BothWays, 2, Multi, "sip"),
	BufSIPVia:                     app("sip.via", "one Via header", BothWays, 2, Multi, "sip"),
	BufSIPUserAgent:               app("sip.user_agent", "one User-Agent header", BothWays, 2, Multi, "sip"),
	BufSIPContentType:             app("sip.content_type", "one Content-Type header", BothWays, 2, Multi, "sip"),
	BufSIPContentLength:           app("sip.content_length", "one Content-Length header", BothWays, 2, Multi, "sip"),
	BufSDPSessionName:             app("sdp.session_name", "session name", BothWays, 2, 0, "sip"),
	BufSDPSessionInfo:             app("sdp.session_info", "session information", BothWays, 2, 0, "sip"),
	BufSDPOrigin:                  app("sdp.origin", "originator", BothWays, 2, 0, "sip"),
	BufSDPURI:                     app("sdp.uri", "URI", BothWays, 2, 0, "sip"),
	BufSDPEmail:                   app("sdp.email", "e-mail address", BothWays, 2, 0, "sip"),
	BufSDPPhoneNumber:             app("sdp.phone_number", "phone number", BothWays, 2, 0, "sip"),
	BufSDPConnectionData:          app("sdp.connection_data", "connection data", BothWays, 2, 0, "sip"),
	BufSDPBandwidth:               app("sdp.bandwidth", "one bandwidth field", BothWays, 2, Multi, "sip"),
	BufSDPTime:                    app("sdp.time", "one time field", BothWays, 2, Multi, "sip"),
	BufSDPRepeatTime:              app("sdp.repeat_time", "one repeat time", BothWays, 2, Multi, "sip"),
	BufSDPTimezone:                app("sdp.timezone", "time zone", BothWays, 2, 0, "sip"),
	BufSDPEncryptionKey:           app("sdp.encryption_key", "encryption key", BothWays, 2, 0, "sip"),
	BufSDPAttribute:               app("sdp.attribute", "one attribute", BothWays, 2, Multi, "sip"),
	BufSDPMediaMedia:              app("sdp.media.media", "one media description", BothWays, 2, Multi, "sip"),
	BufSDPMediaMediaInfo:          app("sdp.media.media_info", "media information of one description", BothWays, 2, Multi, "sip"),
	BufSDPMediaConnectionData:     app("sdp.media.connection_data", "connection data of one description", BothWays, 2, Multi, "sip"),
	BufSDPMediaEncryptionKey:      app("sdp.media.encryption_key", "encryption key of one description", BothWays, 2, Multi, "sip"),
	BufMQTTConnectClientid:        app("mqtt.connect.clientid", "client id", ToServer, 2, 0, "mqtt"),
	BufMQTTConnectUsername:        app("mqtt.connect.username", "user name", ToServer, 2, 0, "mqtt"),
	BufMQTTConnectPassword:        app("mqtt.connect.password", "password", ToServer, 2, 0, "mqtt"),
	BufMQTTConnectWilltopic:       app("mqtt.connect.willtopic", "topic of the last will", ToServer, 2, 0, "mqtt"),
	BufMQTTConnectWillmessage:     app("mqtt.connect.willmessage", "message of the last will", ToServer, 2, 0, "mqtt"),
	BufMQTTConnectProtocolString:  app("mqtt.connect.protocol_string", "protocol name", ToServer, 2, 0, "mqtt"),
	BufMQTTPublishTopic:           app("mqtt.publish.topic", "topic", ToServer, 1, 0, "mqtt"),
	BufMQTTPublishMessage:         app("mqtt.publish.message", "message", ToServer, 1, 0, "mqtt"),
	BufMQTTSubscribeTopic:         app("mqtt.subscribe.topic", "one topic", ToServer, 1, Multi, "mqtt"),
	BufMQTTUnsubscribeTopic:       app("mqtt.unsubscribe.topic", "one topic", ToServer, 1, Multi, "mqtt"),
	BufRFBName:                    app("rfb.name", "name of the desktop", ToClient, 1, 0, "rfb"),
	BufLDAPRequestDN:              app("ldap.request.dn", "distinguished name", ToServer, 1, 0, "ldap"),
	BufLDAPRequestAttributeType:   app("ldap.request.attribute_type", "one attribute type", ToServer, 1, Multi, "ldap"),
	BufLDAPResponsesDN:            app("ldap.responses.dn", "distinguished name of one response", ToClient, 1, Multi, "ldap"),
	BufLDAPResponsesMessage:       app("ldap.responses.message", "message of one response", ToClient, 1, Multi, "ldap"),
	BufLDAPResponsesAttributeType: app("ldap.responses.attribute_type", "one attribute type", ToClient, 1, Multi, "ldap"),
	BufPgSQLQuery:                 app("pgsql.query", "query", ToServer, 1, 0, "pgsql"),
	BufWebSocketPayload:           app("websocket.payload", "payload of a message", BothWays, 1, Stream, "websocket"),
	BufENIPProductName:            app("enip.product_name", "product name", ToClient, 1, 0, "enip"),
	BufENIPServiceName:            app("enip.service_name", "service name", ToClient, 1, 0, "enip"),
	BufDNP3Data:                   app("dnp3.data", "application data", BothWays, 2, 0, "dnp3"),
	BufIKEInitSPI:                 app("ike.init_spi", "initiator's SPI, hex", ToServer, 1, 0, "ike"),
	BufIKERespSPI:                 app("ike.resp_spi", "responder's SPI, hex", ToClient, 1, 0, "ike"),
	BufIKEVendor:                  app("ike.vendor", "one vendor id, hex", BothWays, 1, Multi, "ike"),
	BufIKEKeyExchangePayload:      app("ike.key_exchange_payload", "key exchange payload", BothWays, 1, 0, "ike"),
	BufIKENoncePayload:            app("ike.nonce_payload", "nonce payload", BothWays, 1, 0, "ike"),
	BufNTPReferenceID:             app("ntp.reference_id", "reference id", BothWays, 1, 0, "ntp"),
	BufTemplateBuffer:             app("template.buffer", "buffer of the example protocol", BothWays, 1, 0, "template"),
	BufIPSrc:                      app("ip.src", "source address, 4 or 16 bytes", BothWays, 2, Packet),
	BufIPDst:                      app("ip.dst", "destination address, 4 or 16 bytes", BothWays, 2, Packet),
	BufIPv4Hdr:                    app("ipv4.hdr", "IPv4 header", BothWays, 2, Packet),
	BufIPv6Hdr:                    app("ipv6.hdr", "IPv6 header", BothWays, 2, Packet),
	BufTCPHdr:                     app("tcp.hdr", "TCP header", BothWays, 2, Packet),
	BufUDPHdr:                     app("udp.hdr", "UDP header", BothWays, 2, Packet),
	BufICMPv4Hdr:                  app("icmpv4.hdr", "ICMPv4 header", BothWays, 2, Packet),
	BufICMPv6Hdr:                  app("icmpv6.hdr", "ICMPv6 header", BothWays, 2, Packet),
}
