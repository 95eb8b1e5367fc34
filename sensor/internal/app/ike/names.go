package ike

import (
	"fmt"
	"strings"
)

// words numbers names from first on; "-" stands for none.
func words[K uint8 | uint16](first K, text string) map[K]string {
	m := map[K]string{}
	for _, name := range strings.Fields(text) {
		if name != "-" {
			m[first] = name
		}
		first++
	}
	return m
}

// attributeKeys are EVE's keys of the attributes of IKE 1 (RFC 2409, appendix A).
var attributeKeys = words[uint16](1, `alg_enc alg_hash alg_auth alg_dh sa_group_type sa_group_prime sa_group_generator_one sa_group_generator_two
	sa_group_curve_a sa_group_curve_b sa_life_type sa_life_duration alg_prf sa_key_length sa_field_size sa_group_order`)

// attributeValues are the names of their codes (IANA's registry of ISAKMP).
var attributeValues = map[uint16]map[uint16]string{
	1: words[uint16](1, "EncDesCbc EncIdeaCbc EncBlowfishCbc EncRc5R16B64Cbc EncTripleDesCbc EncCastCbc EncAesCbc EncCamelliaCbc"),
	2: words[uint16](1, "HashMd5 HashSha HashTiger HashSha2_256 HashSha2_384 HashSha2_512"),
	3: words[uint16](1, `AuthPreSharedKey AuthDssSignatures AuthRsaSignatures AuthEncryptionWithRsa AuthRevisedEncryptionWithRsa AuthReserved
		AuthReserved AuthReserved AuthEcdsaSha256 AuthEcdsaSha384 AuthEcdsaSha512`),
	4: words[uint16](1, `GroupDefault768BitModp GroupAlternate1024BitModpGroup GroupEc2nOnGp2p155 GroupEc2nOnGp2p185 GroupModp1536Bit
		GroupEc2nOverGf2p163 GroupEc2nOverGf2p163 GroupEc2nOverGf2p283 GroupEc2nOverGf2p283 GroupEc2nOverGf2p409 GroupEc2nOverGf2p409
		GroupEc2nOverGf2p571 GroupEc2nOverGf2p571 GroupModp2048Bit GroupModp3072Bit GroupModp4096Bit GroupModp6144Bit GroupModp8192Bit
		GroupRandomEcp256 GroupRandomEcp384 GroupRandomEcp521 GroupModp1024With160BitPrime GroupModp2048With224BitPrime
		GroupModp2048With256BitPrime GroupRandomEcp192 GroupRandomEcp224 GroupBrainpoolEcp224 GroupBrainpoolEcp256 GroupBrainpoolEcp384
		GroupBrainpoolEcp512`),
	11: words[uint16](1, "LifeTypeSeconds LifeTypeKilobytes"),
}

func (a *attribute) name() string {
	if name, ok := attributeKeys[a.kind]; ok {
		return name
	}
	return "unknown"
}

func (a *attribute) value() string {
	if name, ok := attributeValues[a.kind][a.coded]; ok {
		return name
	}
	return "Unknown"
}

var exchanges = map[uint8]string{
	1: "Base", 2: "Identity Protection", 3: "Authentication Only", 4: "Aggressive", 5: "Informational", 6: "Transaction (Config Mode)",
	32: "Quick Mode", 33: "New Group Mode",
}

var payloads1 = words[uint8](0, `None SecurityAssociation Proposal Transform KeyExchange Identification Certificate CertificateRequest Hash Signature
	Nonce Notification Delete VendorID - SaKekPayload SaTekPayload KeyDownload SequenceNumber ProofOfPossession NatDiscovery
	NatOriginalAddress GroupAssociatedPolicy`)

var payloads2 = withNone(words[uint8](33, `SecurityAssociation KeyExchange IdentInitiator IdentResponder Certificate CertificateRequest Authentication Nonce Notify
	Delete VendorID TrafficSelectorInitiator TrafficSelectorResponder EncryptedAndAuthenticated Configuration ExtensibleAuthentication
	GenericSecurePasswordMethod GroupIdentification GroupSecurityAssociation KeyDownload - EncryptedAndAuthenticatedFragment`))

func withNone(names map[uint8]string) map[uint8]string {
	names[0] = "NoNextPayload"
	return names
}

// transformKeys are EVE's keys of the types of transforms.
var transformKeys = [...]string{transformEncryption: "alg_enc", transformPRF: "alg_prf", transformAuth: "alg_auth", transformDH: "alg_dh", transformESN: "alg_esn"}

// transformNames are the names of their ids (IANA's registry of IKEv2
// parameters), and how the rest is shown.
var transformNames = [...]struct {
	names map[uint16]string
	other string
}{
	transformEncryption: {words[uint16](1, `ENCR_DES_IV64 ENCR_DES ENCR_3DES ENCR_RC5 ENCR_IDEA ENCR_CAST ENCR_BLOWFISH ENCR_3IDEA ENCR_DES_IV32 -
		ENCR_NULL ENCR_AES_CBC ENCR_AES_CTR ENCR_AES_CCM_8 ENCR_AES_CCM_12 ENCR_AES_CCM_16 - ENCR_AES_GCM_8 ENCR_AES_GCM_12 ENCR_AES_GCM_16
		ENCR_NULL_AUTH_AES_GMAC - ENCR_CAMELLIA_CBC ENCR_CAMELLIA_CTR ENCR_CAMELLIA_CCM_8 ENCR_CAMELLIA_CCM_12 ENCR_CAMELLIA_CCM_16
		ENCR_CHACHA20_POLY1305`), "IkeTransformEncType"},
	transformPRF: {words[uint16](0, `PRF_NULL PRF_HMAC_MD5 PRF_HMAC_SHA1 PRF_HMAC_TIGER PRF_AES128_XCBC PRF_HMAC_SHA2_256 PRF_HMAC_SHA2_384
		PRF_HMAC_SHA2_512 PRF_AES128_CMAC`), "IkeTransformPRFType"},
	transformAuth: {words[uint16](0, `NONE AUTH_HMAC_MD5_96 AUTH_HMAC_SHA1_96 AUTH_DES_MAC AUTH_KPDK_MD5 AUTH_AES_XCBC_96 AUTH_HMAC_MD5_128
		AUTH_HMAC_SHA1_160 AUTH_AES_CMAC_96 AUTH_AES_128_GMAC AUTH_AES_192_GMAC AUTH_AES_256_GMAC AUTH_HMAC_SHA2_256_128
		AUTH_HMAC_SHA2_384_192 AUTH_HMAC_SHA2_512_256`), "IkeTransformAuthType"},
	transformDH: {words[uint16](0, `None Modp768 Modp1024 - - Modp1536 - - - - - - - - Modp2048 Modp3072 Modp4096 Modp6144 Modp8192 Ecp256 Ecp384
		Ecp521 Modp1024s160 Modp2048s224 Modp2048s256 Ecp192 Ecp224 BrainpoolP224r1 BrainpoolP256r1 BrainpoolP384r1 BrainpoolP512r1
		Curve25519 Curve448`), "IkeTransformDHType"},
	transformESN: {words[uint16](0, "NoESN ESN"), "IkeTransformESNType"},
}

func (t transform) name() string {
	n := transformNames[t.kind]
	if name, ok := n.names[t.id]; ok {
		return name
	}
	return fmt.Sprintf("%s(%d / 0x%x)", n.other, t.id, t.id)
}

// notifications are the names of types of NOTIFY (RFC 7296, 3.10.1).
var notifications = map[uint16]string{
	1: "UNSUPPORTED_CRITICAL_PAYLOAD", 4: "INVALID_IKE_SPI", 5: "INVALID_MAJOR_VERSION", 7: "INVALID_SYNTAX", 9: "INVALID_MESSAGE_ID",
	11: "INVALID_SPI", 14: "NO_PROPOSAL_CHOSEN", 17: "INVALID_KE_PAYLOAD", 24: "AUTHENTICATION_FAILED", 34: "SINGLE_PAIR_REQUIRED",
	35: "NO_ADDITIONAL_SAS", 36: "INTERNAL_ADDRESS_FAILURE", 37: "FAILED_CP_REQUIRED", 38: "TS_UNACCEPTABLE", 39: "INVALID_SELECTORS",
	43: "TEMPORARY_FAILURE", 44: "CHILD_SA_NOT_FOUND", 16384: "INITIAL_CONTACT", 16385: "SET_WINDOW_SIZE", 16386: "ADDITIONAL_TS_POSSIBLE",
	16387: "IPCOMP_SUPPORTED", 16388: "NAT_DETECTION_SOURCE_IP", 16389: "NAT_DETECTION_DESTINATION_IP", 16390: "COOKIE",
	16391: "USE_TRANSPORT_MODE", 16392: "HTTP_CERT_LOOKUP_SUPPORTED", 16393: "REKEY_SA", 16394: "ESP_TFC_PADDING_NOT_SUPPORTED",
	16395: "NON_FIRST_FRAGMENTS_ALSO",
}

func notification(n uint16) string {
	if name, ok := notifications[n]; ok {
		return name
	}
	return fmt.Sprintf("NotifyType(%d / 0x%x)", n, n)
}
