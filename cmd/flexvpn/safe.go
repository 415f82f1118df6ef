package main

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// clean makes a text safe for a terminal. Identities and version strings are what a stranger sent: an
// escape sequence in them could rewrite the screen, a line break could forge a line, and a change of
// writing direction could turn a name around. JSON escapes by itself.
func clean(s string) string {
	printable := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !printable(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case printable(r):
			b.WriteRune(r)
		case r == unicode.ReplacementChar:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// makeSafe cleans every text in the view at v, a pointer, in place.
func makeSafe(v any) { cleanValue(reflect.ValueOf(v).Elem()) }

func cleanValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(clean(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			cleanValue(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			cleanValue(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cleanValue(v.Field(i))
			}
		}
	case reflect.Map:
		cleanMap(v)
	}
}

// cleanMap replaces a map's entries: what is in a map cannot be set in place.
func cleanMap(v reflect.Value) {
	for _, k := range v.MapKeys() {
		newKey, newValue := reflect.New(k.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()
		newKey.Set(k)
		newValue.Set(v.MapIndex(k))
		cleanValue(newKey)
		cleanValue(newValue)
		v.SetMapIndex(k, reflect.Value{})
		v.SetMapIndex(newKey, newValue)
	}
}
