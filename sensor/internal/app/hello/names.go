package hello

import "strconv"

// ExtensionName is how EVE calls an extension (IANA, "TLS ExtensionType
// Values"), "" if it has no name there.
func ExtensionName(kind uint16) string {
	switch {
	case int(kind) < len(extensionNames):
		return extensionNames[kind]
	case kind == 13172:
		return "next_protocol_negotiation"
	case kind == 65281:
		return "renegotiation_info"
	}
	return ""
}

var extensionNames = [...]string{
	"server_name", "max_fragment_length", "client_certificate_url", "trusted_ca_keys", "truncated_hmac", "status_request", "user_mapping",
	"client_authz", "server_authz", "cert_type", "supported_groups", "ec_point_formats", "srp", "signature_algorithms", "use_srtp",
	"heartbeat", "alpn", "status_request_v2", "signed_certificate_timestamp", "client_certificate_type", "server_certificate_type",
	"padding", "encrypt_then_mac", "extended_master_secret", "token_binding", "cached_info", "tls_lts", "compress_certificate",
	"record_size_limit", "pwd_protect", "pwd_clear", "password_salt", "ticket_pinning", "tls_cert_with_extern_psk",
	"delegated_credentials", "session_ticket", "tlmsp", "tlmsp_proxying", "tlmsp_delegate", "supported_ekt_ciphers", 40: "",
	41: "pre_shared_key", 42: "early_data", 43: "supported_versions", 44: "cookie", 45: "psk_key_exchange_modes", 46: "",
	47: "certificate_authorities", 48: "oid_filters", 49: "post_handshake_auth", 50: "signature_algorithms_cert", 51: "key_share",
	52: "transparency_info", 53: "connection_id_deprecated", 54: "connection_id", 55: "external_id_hash", 56: "external_session_id",
	57: "quic_transport_parameters", 58: "ticket_request", 59: "dnssec_chain",
}

// SignatureName is how EVE calls a signature algorithm (RFC 8446 section 4.2.3).
func SignatureName(v uint16) string {
	if name, ok := signatureNames[v]; ok {
		return name
	}
	return unnamed("SignatureScheme", v)
}

var signatureNames = map[uint16]string{
	0x0201: "rsa_pkcs1_sha1", 0x0203: "ecdsa_sha1", 0x0401: "rsa_pkcs1_sha256", 0x0403: "ecdsa_secp256r1_sha256", 0x0501: "rsa_pkcs1_sha384",
	0x0503: "ecdsa_secp384r1_sha384", 0x0601: "rsa_pkcs1_sha512", 0x0603: "ecdsa_secp521r1_sha512", 0x0804: "rsa_pss_rsae_sha256",
	0x0805: "rsa_pss_rsae_sha384", 0x0806: "rsa_pss_rsae_sha512", 0x0807: "ed25519", 0x0808: "ed448", 0x0809: "rsa_pss_pss_sha256",
	0x080a: "rsa_pss_pss_sha384", 0x080b: "rsa_pss_pss_sha512",
}

// VersionName is how EVE calls an offered version.
func VersionName(v uint16) string {
	switch v {
	case SSL3:
		return "Ssl30"
	case TLS10, TLS11, TLS12, TLS13:
		return "Tls1" + strconv.Itoa(int(v-TLS10))
	}
	return unnamed("TlsVersion", v)
}

func unnamed(kind string, v uint16) string {
	return kind + "(" + strconv.Itoa(int(v)) + " / 0x" + strconv.FormatUint(uint64(v), 16) + ")"
}
