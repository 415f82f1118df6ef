package authz

import "reflect"

// Same reports whether two spokes get the same from the same origins.
func Same(a, b *Attributes) bool { return reflect.DeepEqual(a, b) }
