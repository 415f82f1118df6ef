package wire

import "fmt"

// The names of the IANA registry "Internet Key Exchange Version 2 (IKEv2) Parameters". They are
// printed only, so the tables hold more than this program understands: the peer's wishes must be
// readable too. A number without a name prints as "notify(40123)".

func name[T ~uint8 | ~uint16](names map[T]string, kind string, n T) string {
	if s, ok := names[n]; ok {
		return s
	}
	return unknown(kind, n)
}

func unknown[T ~uint8 | ~uint16](kind string, n T) string {
	return fmt.Sprintf("%s(%d)", kind, uint16(n))
}

func (t ExchangeType) String() string  { return name(exchangeNames, "exchange", t) }
func (t PayloadType) String() string   { return name(payloadNames, "payload", t) }
func (p ProtocolID) String() string    { return name(protocolNames, "protocol", p) }
func (t TransformType) String() string { return name(transformTypeNames, "transform type", t) }
func (t IDType) String() string        { return name(idNames, "ID", t) }
func (m AuthMethod) String() string    { return name(authNames, "authentication method", m) }
func (e CertEncoding) String() string  { return name(certNames, "certificate encoding", e) }
func (t NotifyType) String() string    { return name(notifyNames, "notify", t) }
func (t CFGType) String() string       { return name(cfgNames, "CFG", t) }
func (t AttributeType) String() string { return name(attributeNames, "attribute", t) }

// transformName names a transform as the registry does, with the key length of a cipher behind it:
// "ENCR_AES_GCM_16-256", "PRF_HMAC_SHA2_384", "KE_CURVE25519".
func transformName(t TransformType, id, keyBits uint16) string {
	s, ok := "", false
	switch t {
	case TransformENCR:
		s, ok = encrNames[id]
	case TransformPRF:
		s, ok = prfNames[id]
	case TransformINTEG:
		s, ok = integNames[id]
	case TransformKE, 6, 7, 8, 9, 10, 11, 12: // ADDITIONAL_KEY_EXCHANGE, RFC 9370, have the same methods
		if s, ok = keNames[id]; ok && t != TransformKE {
			s = t.String() + "_" + s
		}
	case TransformESN:
		s, ok = esnNames[id]
	}
	if !ok {
		s = unknown(t.String(), id)
	}
	if keyBits != 0 {
		s += fmt.Sprintf("-%d", keyBits)
	}
	return s
}

var exchangeNames = map[ExchangeType]string{
	34: "IKE_SA_INIT", 35: "IKE_AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL",
	38: "IKE_SESSION_RESUME", 39: "GSA_AUTH", 40: "GSA_REGISTRATION", 41: "GSA_REKEY",
	43: "IKE_INTERMEDIATE", 44: "IKE_FOLLOWUP_KE",
}

var payloadNames = map[PayloadType]string{
	0: "no payload", 33: "SA", 34: "KE", 35: "IDi", 36: "IDr", 37: "CERT", 38: "CERTREQ", 39: "AUTH", 40: "Nonce",
	41: "N", 42: "D", 43: "V", 44: "TSi", 45: "TSr", 46: "SK", 47: "CP", 48: "EAP", 49: "GSPM",
	50: "IDg", 51: "GSA", 52: "KD", 53: "SKF", 54: "PS",
}

var protocolNames = map[ProtocolID]string{
	0: "none", 1: "IKE", 2: "AH", 3: "ESP", 4: "FC_ESP_HEADER", 5: "FC_CT_AUTHENTICATION",
	6: "GIKE_UPDATE",
}

var transformTypeNames = map[TransformType]string{
	1: "ENCR", 2: "PRF", 3: "INTEG", 4: "KE", 5: "ESN", 6: "ADDKE1", 7: "ADDKE2", 8: "ADDKE3",
	9: "ADDKE4", 10: "ADDKE5", 11: "ADDKE6", 12: "ADDKE7", 13: "KWA", 14: "GCAUTH",
}

var encrNames = map[uint16]string{
	1: "ENCR_DES_IV64", 2: "ENCR_DES", 3: "ENCR_3DES", 4: "ENCR_RC5", 5: "ENCR_IDEA", 6: "ENCR_CAST",
	7: "ENCR_BLOWFISH", 8: "ENCR_3IDEA", 9: "ENCR_DES_IV32", 11: "ENCR_NULL", 12: "ENCR_AES_CBC",
	13: "ENCR_AES_CTR", 14: "ENCR_AES_CCM_8", 15: "ENCR_AES_CCM_12", 16: "ENCR_AES_CCM_16",
	18: "ENCR_AES_GCM_8", 19: "ENCR_AES_GCM_12", 20: "ENCR_AES_GCM_16", 21: "ENCR_NULL_AUTH_AES_GMAC",
	23: "ENCR_CAMELLIA_CBC", 24: "ENCR_CAMELLIA_CTR", 25: "ENCR_CAMELLIA_CCM_8",
	26: "ENCR_CAMELLIA_CCM_12", 27: "ENCR_CAMELLIA_CCM_16", 28: "ENCR_CHACHA20_POLY1305",
	29: "ENCR_AES_CCM_8_IIV", 30: "ENCR_AES_GCM_16_IIV", 31: "ENCR_CHACHA20_POLY1305_IIV",
	32: "ENCR_KUZNYECHIK_MGM_KTREE", 33: "ENCR_MAGMA_MGM_KTREE",
}

var prfNames = map[uint16]string{
	1: "PRF_HMAC_MD5", 2: "PRF_HMAC_SHA1", 3: "PRF_HMAC_TIGER", 4: "PRF_AES128_XCBC",
	5: "PRF_HMAC_SHA2_256", 6: "PRF_HMAC_SHA2_384", 7: "PRF_HMAC_SHA2_512", 8: "PRF_AES128_CMAC",
	9: "PRF_HMAC_STREEBOG_512",
}

var integNames = map[uint16]string{
	0: "AUTH_NONE", 1: "AUTH_HMAC_MD5_96", 2: "AUTH_HMAC_SHA1_96", 3: "AUTH_DES_MAC",
	4: "AUTH_KPDK_MD5", 5: "AUTH_AES_XCBC_96", 6: "AUTH_HMAC_MD5_128", 7: "AUTH_HMAC_SHA1_160",
	8: "AUTH_AES_CMAC_96", 9: "AUTH_AES_128_GMAC", 10: "AUTH_AES_192_GMAC", 11: "AUTH_AES_256_GMAC",
	12: "AUTH_HMAC_SHA2_256_128", 13: "AUTH_HMAC_SHA2_384_192", 14: "AUTH_HMAC_SHA2_512_256",
}

// The registry describes key exchange methods in words; these are their usual short forms.
var keNames = map[uint16]string{
	0: "KE_NONE", 1: "KE_MODP_768", 2: "KE_MODP_1024", 5: "KE_MODP_1536", 14: "KE_MODP_2048",
	15: "KE_MODP_3072", 16: "KE_MODP_4096", 17: "KE_MODP_6144", 18: "KE_MODP_8192",
	19: "KE_ECP_256", 20: "KE_ECP_384", 21: "KE_ECP_521", 22: "KE_MODP_1024_160",
	23: "KE_MODP_2048_224", 24: "KE_MODP_2048_256", 25: "KE_ECP_192", 26: "KE_ECP_224",
	27: "KE_BRAINPOOL_P224R1", 28: "KE_BRAINPOOL_P256R1", 29: "KE_BRAINPOOL_P384R1",
	30: "KE_BRAINPOOL_P512R1", 31: "KE_CURVE25519", 32: "KE_CURVE448",
	33: "KE_GOST3410_2012_256", 34: "KE_GOST3410_2012_512",
	35: "KE_ML_KEM_512", 36: "KE_ML_KEM_768", 37: "KE_ML_KEM_1024",
}

var esnNames = map[uint16]string{0: "ESN_NO", 1: "ESN_YES", 2: "ESN_32_BIT_UNSPECIFIED"}

var idNames = map[IDType]string{
	1: "ID_IPV4_ADDR", 2: "ID_FQDN", 3: "ID_RFC822_ADDR", 5: "ID_IPV6_ADDR", 9: "ID_DER_ASN1_DN",
	10: "ID_DER_ASN1_GN", 11: "ID_KEY_ID", 12: "ID_FC_NAME", 13: "ID_NULL",
}

var authNames = map[AuthMethod]string{
	0: "none", 1: "RSA Digital Signature", 2: "Shared Key Message Integrity Code",
	3: "DSS Digital Signature", 9: "ECDSA with SHA-256 on the P-256 curve",
	10: "ECDSA with SHA-384 on the P-384 curve", 11: "ECDSA with SHA-512 on the P-521 curve",
	12: "Generic Secure Password Authentication Method", 13: "NULL Authentication",
	14: "Digital Signature",
}

var certNames = map[CertEncoding]string{
	1: "PKCS #7 wrapped X.509 certificate", 2: "PGP Certificate", 3: "DNS Signed Key",
	4: "X.509 Certificate - Signature", 6: "Kerberos Token", 7: "Certificate Revocation List (CRL)",
	8: "Authority Revocation List (ARL)", 9: "SPKI Certificate", 10: "X.509 Certificate - Attribute",
	11: "Deprecated (Raw RSA Key)", 12: "Hash and URL of X.509 certificate",
	13: "Hash and URL of X.509 bundle", 14: "OCSP Content", 15: "Raw Public Key",
}

var cfgNames = map[CFGType]string{1: "CFG_REQUEST", 2: "CFG_REPLY", 3: "CFG_SET", 4: "CFG_ACK"}

var notifyNames = map[NotifyType]string{
	1: "UNSUPPORTED_CRITICAL_PAYLOAD", 4: "INVALID_IKE_SPI", 5: "INVALID_MAJOR_VERSION",
	7: "INVALID_SYNTAX", 9: "INVALID_MESSAGE_ID", 11: "INVALID_SPI", 14: "NO_PROPOSAL_CHOSEN",
	17: "INVALID_KE_PAYLOAD", 24: "AUTHENTICATION_FAILED", 34: "SINGLE_PAIR_REQUIRED",
	35: "NO_ADDITIONAL_SAS", 36: "INTERNAL_ADDRESS_FAILURE", 37: "FAILED_CP_REQUIRED",
	38: "TS_UNACCEPTABLE", 39: "INVALID_SELECTORS", 40: "UNACCEPTABLE_ADDRESSES",
	41: "UNEXPECTED_NAT_DETECTED", 42: "USE_ASSIGNED_HoA", 43: "TEMPORARY_FAILURE",
	44: "CHILD_SA_NOT_FOUND", 45: "INVALID_GROUP_ID", 46: "AUTHORIZATION_FAILED",
	47: "STATE_NOT_FOUND", 48: "TS_MAX_QUEUE", 49: "REGISTRATION_FAILED",

	16384: "INITIAL_CONTACT", 16385: "SET_WINDOW_SIZE", 16386: "ADDITIONAL_TS_POSSIBLE",
	16387: "IPCOMP_SUPPORTED", 16388: "NAT_DETECTION_SOURCE_IP", 16389: "NAT_DETECTION_DESTINATION_IP",
	16390: "COOKIE", 16391: "USE_TRANSPORT_MODE", 16392: "HTTP_CERT_LOOKUP_SUPPORTED",
	16393: "REKEY_SA", 16394: "ESP_TFC_PADDING_NOT_SUPPORTED", 16395: "NON_FIRST_FRAGMENTS_ALSO",
	16396: "MOBIKE_SUPPORTED", 16397: "ADDITIONAL_IP4_ADDRESS", 16398: "ADDITIONAL_IP6_ADDRESS",
	16399: "NO_ADDITIONAL_ADDRESSES", 16400: "UPDATE_SA_ADDRESSES", 16401: "COOKIE2",
	16402: "NO_NATS_ALLOWED", 16403: "AUTH_LIFETIME", 16404: "MULTIPLE_AUTH_SUPPORTED",
	16405: "ANOTHER_AUTH_FOLLOWS", 16406: "REDIRECT_SUPPORTED", 16407: "REDIRECT",
	16408: "REDIRECTED_FROM", 16409: "TICKET_LT_OPAQUE", 16410: "TICKET_REQUEST", 16411: "TICKET_ACK",
	16412: "TICKET_NACK", 16413: "TICKET_OPAQUE", 16414: "LINK_ID", 16415: "USE_WESP_MODE",
	16416: "ROHC_SUPPORTED", 16417: "EAP_ONLY_AUTHENTICATION", 16418: "CHILDLESS_IKEV2_SUPPORTED",
	16419: "QUICK_CRASH_DETECTION", 16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
	16421: "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED", 16422: "IKEV2_MESSAGE_ID_SYNC",
	16423: "IPSEC_REPLAY_COUNTER_SYNC", 16424: "SECURE_PASSWORD_METHODS", 16425: "PSK_PERSIST",
	16426: "PSK_CONFIRM", 16427: "ERX_SUPPORTED", 16428: "IFOM_CAPABILITY", 16429: "GROUP_SENDER",
	16430: "IKEV2_FRAGMENTATION_SUPPORTED", 16431: "SIGNATURE_HASH_ALGORITHMS", 48716: "SESSION_REPLACED",
	16432: "CLONE_IKE_SA_SUPPORTED", 16433: "CLONE_IKE_SA", 16434: "PUZZLE", 16435: "USE_PPK",
	16436: "PPK_IDENTITY", 16437: "NO_PPK_AUTH", 16438: "INTERMEDIATE_EXCHANGE_SUPPORTED",
	16439: "IP4_ALLOWED", 16440: "IP6_ALLOWED", 16441: "ADDITIONAL_KEY_EXCHANGE",
	16442: "USE_AGGFRAG", 16443: "SUPPORTED_AUTH_METHODS", 16444: "SA_RESOURCE_INFO",
	16445: "USE_PPK_INT", 16446: "PPK_IDENTITY_KEY",
}

// Cisco's attributes have no public registry; the names are those its debug prints, in our case.
var attributeNames = map[AttributeType]string{
	1: "INTERNAL_IP4_ADDRESS", 2: "INTERNAL_IP4_NETMASK", 3: "INTERNAL_IP4_DNS",
	4: "INTERNAL_IP4_NBNS", 5: "INTERNAL_ADDRESS_EXPIRY", 6: "INTERNAL_IP4_DHCP",
	7: "APPLICATION_VERSION", 8: "INTERNAL_IP6_ADDRESS", 10: "INTERNAL_IP6_DNS",
	12: "INTERNAL_IP6_DHCP", 13: "INTERNAL_IP4_SUBNET", 14: "SUPPORTED_ATTRIBUTES",
	15: "INTERNAL_IP6_SUBNET", 16: "MIP6_HOME_PREFIX", 17: "INTERNAL_IP6_LINK",
	18: "INTERNAL_IP6_PREFIX", 19: "HOME_AGENT_ADDRESS", 20: "P_CSCF_IP4_ADDRESS",
	21: "P_CSCF_IP6_ADDRESS", 22: "FTT_KAT", 23: "EXTERNAL_SOURCE_IP4_NAT_INFO",
	24: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK", 25: "INTERNAL_DNS_DOMAIN", 26: "INTERNAL_DNSSEC_TA",
	27: "ENCDNS_IP4", 28: "ENCDNS_IP6", 29: "ENCDNS_DIGEST_INFO",
	23456: "MICROSOFT_IP4_SERVER", 23457: "MICROSOFT_IP6_SERVER",
	28672: "CISCO_BANNER", 28673: "CISCO_SAVE_PASSWORD", 28674: "CISCO_DEFAULT_DOMAIN",
	28675: "CISCO_SPLIT_DNS", 28676: "CISCO_SPLIT_INCLUDE", 28677: "CISCO_NATT_PORT",
	28678: "CISCO_LOCAL_LAN", 28679: "CISCO_PFS", 28680: "CISCO_FW_TYPE",
	28681: "CISCO_BACKUP_SERVERS", 28682: "CISCO_DDNS_HOSTNAME", 28692: "CISCO_CONFIG_URL",
}
