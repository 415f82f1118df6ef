package authz

import (
	"net/netip"
	"reflect"
	"testing"

	"flexvpn/config"
)

// Every attribute counts, its value and its origin; only what is equal in all is the same.
func TestSameForgetsNoAttribute(t *testing.T) {
	a, b := FromPolicy(full()), FromPolicy(full())
	if !Same(&a, &b) || !Same(&Attributes{}, &Attributes{}) {
		t.Error("two spokes with one policy do not get the same")
	}
	fields := reflect.TypeFor[Attributes]()
	for i := range fields.NumField() {
		var origin, value, plain Attributes
		name := fields.Field(i).Name
		of := func(a *Attributes) reflect.Value { return reflect.ValueOf(a).Elem().Field(i) }
		if of(&plain).Kind() == reflect.Slice {
			of(&value).Set(reflect.MakeSlice(of(&value).Type(), 1, 1))
			if Same(&plain, &value) {
				t.Errorf("one more line of %s makes no difference", name)
			}
			continue
		}
		of(&origin).FieldByName("Origin").SetString("somebody")
		of(&value).FieldByName("Origin").SetString("somebody")
		fill(t, of(&value).FieldByName("V"))
		if Same(&plain, &origin) {
			t.Errorf("the origin of %s makes no difference", name)
		}
		if Same(&origin, &value) || Same(&value, &origin) {
			t.Errorf("the value of %s makes no difference", name)
		}
	}
	accept := reflect.TypeFor[Accept]()
	for i := range accept.NumField() {
		var x, y Attributes
		fill(t, reflect.ValueOf(&y.RoutesAccept.V).Elem().Field(i))
		if Same(&x, &y) {
			t.Errorf("%s of what is accepted makes no difference", accept.Field(i).Name)
		}
	}
}

// fill makes v another than its zero value.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *netip.Addr:
		*p = netip.MustParseAddr("192.0.2.1")
	case *netip.Prefix:
		*p = netip.MustParsePrefix("192.0.2.0/24")
	case **config.PrefixList:
		*p = &config.PrefixList{Name: "x"}
	case *Accept:
		p.Any = true
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int64:
			v.SetInt(1)
		case reflect.Uint8, reflect.Uint32:
			v.SetUint(1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		default:
			t.Fatalf("this test cannot fill a %s", v.Type())
		}
	}
}
