package wire

// VendorID is the Vendor ID payload, section 3.12.
type VendorID struct{ Data []byte }

// Kind returns PayloadVendorID.
func (VendorID) Kind() PayloadType { return PayloadVendorID }

func (v *VendorID) decode(r *reader) { v.Data = r.rest() }

func (v VendorID) appendTo(b []byte) []byte { return append(b, v.Data...) }

// String shows text as text, which Cisco's identifiers are, and hashes in hexadecimal.
func (v VendorID) String() string { return printable(v.Data) }
