package conf

import (
	"reflect"
	"slices"
)

// Changed lists the settings in which two configurations differ, in the order of Settings.
func Changed(a, b *Config) []Setting {
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	return slices.DeleteFunc(Settings(), func(s Setting) bool {
		x, y := va.FieldByIndex(s.index), vb.FieldByIndex(s.index)
		if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
			return true // none is none, however it was said
		}
		return reflect.DeepEqual(x.Interface(), y.Interface())
	})
}

// Keep sets a setting to what it is in another configuration.
func (c *Config) Keep(s Setting, from *Config) {
	reflect.ValueOf(c).Elem().FieldByIndex(s.index).Set(reflect.ValueOf(from).Elem().FieldByIndex(s.index))
}

// Keys lists the settings of a part.
func Keys(part Part) []string { return keysOf(reflect.TypeOf(part)) }
