package wire

// The IANA registries of IKEv2, as typed numbers. Names are those of the registry in Go spelling.
type (
	ExchangeType  uint8
	PayloadType   uint8
	ProtocolID    uint8
	TransformType uint8
	IDType        uint8
	AuthMethod    uint8
	CertEncoding  uint8
	NotifyType    uint16
	CFGType       uint8
	AttributeType uint16
)

// Exchange types, RFC 7296 section 3.1.
const (
	IKESAInit     ExchangeType = 34
	IKEAuth       ExchangeType = 35
	CreateChildSA ExchangeType = 36
	Informational ExchangeType = 37
)

// Payload types, RFC 7296 section 3.2 and RFC 7383.
const (
	NoNext           PayloadType = 0
	PayloadSA        PayloadType = 33
	PayloadKE        PayloadType = 34
	PayloadIDi       PayloadType = 35
	PayloadIDr       PayloadType = 36
	PayloadCert      PayloadType = 37
	PayloadCertReq   PayloadType = 38
	PayloadAuth      PayloadType = 39
	PayloadNonce     PayloadType = 40
	PayloadNotify    PayloadType = 41
	PayloadDelete    PayloadType = 42
	PayloadVendorID  PayloadType = 43
	PayloadTSi       PayloadType = 44
	PayloadTSr       PayloadType = 45
	PayloadEncrypted PayloadType = 46
	PayloadCP        PayloadType = 47
	PayloadEAP       PayloadType = 48
	PayloadFragment  PayloadType = 53
)

// Protocols, RFC 7296 section 3.3.1.
const (
	ProtoNone ProtocolID = 0
	ProtoIKE  ProtocolID = 1
	ProtoAH   ProtocolID = 2
	ProtoESP  ProtocolID = 3
)

// Transform types, RFC 7296 section 3.3.2.
const (
	TransformENCR  TransformType = 1
	TransformPRF   TransformType = 2
	TransformINTEG TransformType = 3
	TransformKE    TransformType = 4
	TransformESN   TransformType = 5
)

// Identification types, RFC 7296 section 3.5.
const (
	IDIPv4  IDType = 1
	IDFQDN  IDType = 2
	IDEmail IDType = 3 // ID_RFC822_ADDR
	IDIPv6  IDType = 5
	IDDN    IDType = 9 // ID_DER_ASN1_DN
	IDGN    IDType = 10
	IDKeyID IDType = 11
)

// Authentication methods, RFC 7296 section 3.8, RFC 7427, RFC 4754.
const (
	AuthMethodNone AuthMethod = 0 // the AUTH payload is absent: the peer wants EAP
	AuthRSA        AuthMethod = 1
	AuthSharedKey  AuthMethod = 2
	AuthECDSA256   AuthMethod = 9
	AuthECDSA384   AuthMethod = 10
	AuthECDSA521   AuthMethod = 11
	AuthDigital    AuthMethod = 14
)

// Certificate encodings, RFC 7296 section 3.6.
const (
	CertX509    CertEncoding = 4
	CertHashURL CertEncoding = 12
)

// Notify message types, RFC 7296 section 3.10.1 and the registry.
const (
	UnsupportedCriticalPayload NotifyType = 1
	InvalidIKESPI              NotifyType = 4
	InvalidMajorVersion        NotifyType = 5
	InvalidSyntax              NotifyType = 7
	InvalidMessageID           NotifyType = 9
	InvalidSPI                 NotifyType = 11
	NoProposalChosen           NotifyType = 14
	InvalidKEPayload           NotifyType = 17
	AuthenticationFailed       NotifyType = 24
	SinglePairRequired         NotifyType = 34
	NoAdditionalSAs            NotifyType = 35
	InternalAddressFailure     NotifyType = 36
	FailedCPRequired           NotifyType = 37
	TSUnacceptable             NotifyType = 38
	InvalidSelectors           NotifyType = 39
	UnacceptableAddresses      NotifyType = 40
	UnexpectedNATDetected      NotifyType = 41
	TemporaryFailure           NotifyType = 43
	ChildSANotFound            NotifyType = 44
	AuthorizationFailed        NotifyType = 46

	InitialContact            NotifyType = 16384
	SetWindowSize             NotifyType = 16385
	AdditionalTSPossible      NotifyType = 16386
	IPCompSupported           NotifyType = 16387
	NATDetectionSourceIP      NotifyType = 16388
	NATDetectionDestinationIP NotifyType = 16389
	Cookie                    NotifyType = 16390
	UseTransportMode          NotifyType = 16391
	HTTPCertLookupSupported   NotifyType = 16392
	RekeySA                   NotifyType = 16393
	ESPTFCPaddingNotSupported NotifyType = 16394
	NonFirstFragmentsAlso     NotifyType = 16395
	MOBIKESupported           NotifyType = 16396
	AdditionalIP4Address      NotifyType = 16397
	AdditionalIP6Address      NotifyType = 16398
	NoAdditionalAddresses     NotifyType = 16399
	UpdateSAAddresses         NotifyType = 16400
	Cookie2                   NotifyType = 16401
	NoNATsAllowed             NotifyType = 16402
	RedirectSupported         NotifyType = 16406
	Redirect                  NotifyType = 16407
	RedirectedFrom            NotifyType = 16408
	EAPOnlyAuthentication     NotifyType = 16417
	ChildlessIKEv2Supported   NotifyType = 16418
	QuickCrashDetection       NotifyType = 16419
	FragmentationSupported    NotifyType = 16430 // IKEV2_FRAGMENTATION_SUPPORTED
	SignatureHashAlgorithms   NotifyType = 16431

	// SessionReplaced stands beside the Delete of an IKE SA whose place a newer session of the same
	// identity takes. It is of the private range of status types (40960 to 65535), and only nodes of
	// ours send and understand it.
	SessionReplaced NotifyType = 48716
)

// Configuration payload types, RFC 7296 section 3.15.
const (
	CFGRequest CFGType = 1
	CFGReply   CFGType = 2
	CFGSet     CFGType = 3
	CFGAck     CFGType = 4
)

// Configuration attributes, RFC 7296 section 3.15.1, RFC 8598, and Cisco's from 28672 on.
const (
	InternalIP4Address  AttributeType = 1
	InternalIP4Netmask  AttributeType = 2
	InternalIP4DNS      AttributeType = 3
	InternalIP4NBNS     AttributeType = 4
	InternalIP4DHCP     AttributeType = 6
	ApplicationVersion  AttributeType = 7
	InternalIP6Address  AttributeType = 8
	InternalIP6DNS      AttributeType = 10
	InternalIP6DHCP     AttributeType = 12
	InternalIP4Subnet   AttributeType = 13
	SupportedAttributes AttributeType = 14
	InternalIP6Subnet   AttributeType = 15
	InternalDNSDomain   AttributeType = 25
	CiscoBanner         AttributeType = 28672
	CiscoSavePassword   AttributeType = 28673
	CiscoDefaultDomain  AttributeType = 28674
	CiscoSplitDNS       AttributeType = 28675
	CiscoSplitInclude   AttributeType = 28676
	CiscoLocalLAN       AttributeType = 28678
	CiscoPFS            AttributeType = 28679
	CiscoBackupServers  AttributeType = 28681
	CiscoDDNSHostname   AttributeType = 28682
	CiscoConfigURL      AttributeType = 28692
)
