package wire

import (
	"fmt"
	"testing"
)

// The constants of this package, each with the name that the registry has for it.
func TestNames(t *testing.T) {
	cases := []struct {
		n    fmt.Stringer
		want string
	}{
		{IKESAInit, "IKE_SA_INIT"},
		{IKEAuth, "IKE_AUTH"},
		{CreateChildSA, "CREATE_CHILD_SA"},
		{Informational, "INFORMATIONAL"},
		{ExchangeType(43), "IKE_INTERMEDIATE"},
		{ExchangeType(0), "exchange(0)"},
		{NoNext, "no payload"},
		{PayloadSA, "SA"},
		{PayloadKE, "KE"},
		{PayloadIDi, "IDi"},
		{PayloadIDr, "IDr"},
		{PayloadCert, "CERT"},
		{PayloadCertReq, "CERTREQ"},
		{PayloadAuth, "AUTH"},
		{PayloadNonce, "Nonce"},
		{PayloadNotify, "N"},
		{PayloadDelete, "D"},
		{PayloadVendorID, "V"},
		{PayloadTSi, "TSi"},
		{PayloadTSr, "TSr"},
		{PayloadEncrypted, "SK"},
		{PayloadCP, "CP"},
		{PayloadEAP, "EAP"},
		{PayloadFragment, "SKF"},
		{PayloadType(99), "payload(99)"},
		{ProtoNone, "none"},
		{ProtoIKE, "IKE"},
		{ProtoAH, "AH"},
		{ProtoESP, "ESP"},
		{ProtocolID(9), "protocol(9)"},
		{TransformENCR, "ENCR"},
		{TransformPRF, "PRF"},
		{TransformINTEG, "INTEG"},
		{TransformKE, "KE"},
		{TransformESN, "ESN"},
		{TransformType(6), "ADDKE1"},
		{TransformType(99), "transform type(99)"},
		{IDIPv4, "ID_IPV4_ADDR"},
		{IDFQDN, "ID_FQDN"},
		{IDEmail, "ID_RFC822_ADDR"},
		{IDIPv6, "ID_IPV6_ADDR"},
		{IDDN, "ID_DER_ASN1_DN"},
		{IDGN, "ID_DER_ASN1_GN"},
		{IDKeyID, "ID_KEY_ID"},
		{IDType(4), "ID(4)"},
		{AuthMethodNone, "none"},
		{AuthRSA, "RSA Digital Signature"},
		{AuthSharedKey, "Shared Key Message Integrity Code"},
		{AuthECDSA256, "ECDSA with SHA-256 on the P-256 curve"},
		{AuthECDSA384, "ECDSA with SHA-384 on the P-384 curve"},
		{AuthECDSA521, "ECDSA with SHA-512 on the P-521 curve"},
		{AuthDigital, "Digital Signature"},
		{AuthMethod(99), "authentication method(99)"},
		{CertX509, "X.509 Certificate - Signature"},
		{CertHashURL, "Hash and URL of X.509 certificate"},
		{CertEncoding(5), "certificate encoding(5)"},
		{CFGRequest, "CFG_REQUEST"},
		{CFGReply, "CFG_REPLY"},
		{CFGSet, "CFG_SET"},
		{CFGAck, "CFG_ACK"},
		{CFGType(0), "CFG(0)"},
		{NotifyType(15), "notify(15)"},
		{NotifyType(65535), "notify(65535)"},
		{AttributeType(9), "attribute(9)"},
		{AttributeType(32767), "attribute(32767)"},
	}
	for _, c := range cases {
		if got := c.n.String(); got != c.want {
			t.Errorf("%T(%d) prints as %q, want %q", c.n, c.n, got, c.want)
		}
	}
}

func TestNotifyNames(t *testing.T) {
	cases := map[NotifyType]string{
		UnsupportedCriticalPayload: "UNSUPPORTED_CRITICAL_PAYLOAD", InvalidIKESPI: "INVALID_IKE_SPI",
		InvalidMajorVersion: "INVALID_MAJOR_VERSION", InvalidSyntax: "INVALID_SYNTAX", InvalidMessageID: "INVALID_MESSAGE_ID",
		InvalidSPI: "INVALID_SPI", NoProposalChosen: "NO_PROPOSAL_CHOSEN", InvalidKEPayload: "INVALID_KE_PAYLOAD",
		AuthenticationFailed: "AUTHENTICATION_FAILED", SinglePairRequired: "SINGLE_PAIR_REQUIRED", NoAdditionalSAs: "NO_ADDITIONAL_SAS",
		InternalAddressFailure: "INTERNAL_ADDRESS_FAILURE", FailedCPRequired: "FAILED_CP_REQUIRED", TSUnacceptable: "TS_UNACCEPTABLE",
		InvalidSelectors: "INVALID_SELECTORS", UnacceptableAddresses: "UNACCEPTABLE_ADDRESSES",
		UnexpectedNATDetected: "UNEXPECTED_NAT_DETECTED", TemporaryFailure: "TEMPORARY_FAILURE", ChildSANotFound: "CHILD_SA_NOT_FOUND",
		AuthorizationFailed: "AUTHORIZATION_FAILED",
		InitialContact:      "INITIAL_CONTACT", SetWindowSize: "SET_WINDOW_SIZE", AdditionalTSPossible: "ADDITIONAL_TS_POSSIBLE",
		IPCompSupported: "IPCOMP_SUPPORTED", NATDetectionSourceIP: "NAT_DETECTION_SOURCE_IP",
		NATDetectionDestinationIP: "NAT_DETECTION_DESTINATION_IP", Cookie: "COOKIE", UseTransportMode: "USE_TRANSPORT_MODE",
		HTTPCertLookupSupported: "HTTP_CERT_LOOKUP_SUPPORTED", RekeySA: "REKEY_SA",
		ESPTFCPaddingNotSupported: "ESP_TFC_PADDING_NOT_SUPPORTED", NonFirstFragmentsAlso: "NON_FIRST_FRAGMENTS_ALSO",
		MOBIKESupported: "MOBIKE_SUPPORTED", AdditionalIP4Address: "ADDITIONAL_IP4_ADDRESS", AdditionalIP6Address: "ADDITIONAL_IP6_ADDRESS",
		NoAdditionalAddresses: "NO_ADDITIONAL_ADDRESSES", UpdateSAAddresses: "UPDATE_SA_ADDRESSES", Cookie2: "COOKIE2",
		NoNATsAllowed: "NO_NATS_ALLOWED", RedirectSupported: "REDIRECT_SUPPORTED", Redirect: "REDIRECT", RedirectedFrom: "REDIRECTED_FROM",
		EAPOnlyAuthentication: "EAP_ONLY_AUTHENTICATION", ChildlessIKEv2Supported: "CHILDLESS_IKEV2_SUPPORTED",
		QuickCrashDetection: "QUICK_CRASH_DETECTION", FragmentationSupported: "IKEV2_FRAGMENTATION_SUPPORTED",
		SignatureHashAlgorithms: "SIGNATURE_HASH_ALGORITHMS", SessionReplaced: "SESSION_REPLACED",
	}
	for n, want := range cases {
		if got := n.String(); got != want {
			t.Errorf("%d prints as %q, want %q", n, got, want)
		}
	}
}

func TestAttributeNames(t *testing.T) {
	cases := map[AttributeType]string{
		InternalIP4Address: "INTERNAL_IP4_ADDRESS", InternalIP4Netmask: "INTERNAL_IP4_NETMASK", InternalIP4DNS: "INTERNAL_IP4_DNS",
		InternalIP4NBNS: "INTERNAL_IP4_NBNS", InternalIP4DHCP: "INTERNAL_IP4_DHCP", ApplicationVersion: "APPLICATION_VERSION",
		InternalIP6Address: "INTERNAL_IP6_ADDRESS", InternalIP6DNS: "INTERNAL_IP6_DNS", InternalIP6DHCP: "INTERNAL_IP6_DHCP",
		InternalIP4Subnet: "INTERNAL_IP4_SUBNET", SupportedAttributes: "SUPPORTED_ATTRIBUTES", InternalIP6Subnet: "INTERNAL_IP6_SUBNET",
		InternalDNSDomain: "INTERNAL_DNS_DOMAIN", CiscoBanner: "CISCO_BANNER", CiscoSavePassword: "CISCO_SAVE_PASSWORD",
		CiscoDefaultDomain: "CISCO_DEFAULT_DOMAIN", CiscoSplitDNS: "CISCO_SPLIT_DNS", CiscoSplitInclude: "CISCO_SPLIT_INCLUDE",
		CiscoLocalLAN: "CISCO_LOCAL_LAN", CiscoPFS: "CISCO_PFS", CiscoBackupServers: "CISCO_BACKUP_SERVERS",
		CiscoDDNSHostname: "CISCO_DDNS_HOSTNAME", CiscoConfigURL: "CISCO_CONFIG_URL",
	}
	for n, want := range cases {
		if got := n.String(); got != want {
			t.Errorf("%d prints as %q, want %q", n, got, want)
		}
	}
}

func TestTransformName(t *testing.T) {
	cases := []struct {
		kind     TransformType
		id, bits uint16
		want     string
	}{
		{TransformENCR, 20, 256, "ENCR_AES_GCM_16-256"},
		{TransformENCR, 20, 0, "ENCR_AES_GCM_16"},
		{TransformENCR, 12, 128, "ENCR_AES_CBC-128"},
		{TransformENCR, 28, 0, "ENCR_CHACHA20_POLY1305"},
		{TransformENCR, 3, 0, "ENCR_3DES"},
		{TransformENCR, 999, 128, "ENCR(999)-128"},
		{TransformPRF, 2, 0, "PRF_HMAC_SHA1"},
		{TransformPRF, 7, 0, "PRF_HMAC_SHA2_512"},
		{TransformPRF, 0, 0, "PRF(0)"},
		{TransformINTEG, 0, 0, "AUTH_NONE"},
		{TransformINTEG, 2, 0, "AUTH_HMAC_SHA1_96"},
		{TransformINTEG, 13, 0, "AUTH_HMAC_SHA2_384_192"},
		{TransformKE, 14, 0, "KE_MODP_2048"},
		{TransformKE, 19, 0, "KE_ECP_256"},
		{TransformKE, 31, 0, "KE_CURVE25519"},
		{TransformKE, 36, 0, "KE_ML_KEM_768"},
		{6, 36, 0, "ADDKE1_KE_ML_KEM_768"},
		{12, 0, 0, "ADDKE7_KE_NONE"},
		{6, 999, 0, "ADDKE1(999)"},
		{TransformESN, 0, 0, "ESN_NO"},
		{TransformESN, 1, 0, "ESN_YES"},
		{99, 1, 0, "transform type(99)(1)"},
	}
	for _, c := range cases {
		if got := transformName(c.kind, c.id, c.bits); got != c.want {
			t.Errorf("%d/%d/%d: got %q, want %q", c.kind, c.id, c.bits, got, c.want)
		}
	}
}

// Names are for people and for searching in logs: no two numbers of a registry share one.
func TestNamesAreUnique(t *testing.T) {
	unique(t, "exchange", exchangeNames)
	unique(t, "payload", payloadNames)
	unique(t, "protocol", protocolNames)
	unique(t, "transform type", transformTypeNames)
	unique(t, "ENCR", encrNames)
	unique(t, "PRF", prfNames)
	unique(t, "INTEG", integNames)
	unique(t, "KE", keNames)
	unique(t, "ESN", esnNames)
	unique(t, "ID", idNames)
	unique(t, "AUTH", authNames)
	unique(t, "CERT", certNames)
	unique(t, "CFG", cfgNames)
	unique(t, "notify", notifyNames)
	unique(t, "attribute", attributeNames)
}

func unique[T comparable](t *testing.T, registry string, names map[T]string) {
	t.Helper()
	seen := make(map[string]T)
	for n, s := range names {
		if other, twice := seen[s]; twice || s == "" {
			t.Errorf("%s: %v and %v are both %q", registry, n, other, s)
		}
		seen[s] = n
	}
}
