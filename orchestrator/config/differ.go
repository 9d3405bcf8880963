package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Differences names the keys that c and was do not agree on, dotted, each with both values.
func (c Config) Differences(was Config) []string {
	return differences("", reflect.ValueOf(c), reflect.ValueOf(was))
}

func differences(path string, is, was reflect.Value) (keys []string) {
	for i := range is.NumField() {
		key := strings.TrimPrefix(path+"."+is.Type().Field(i).Tag.Get("yaml"), ".")
		a, b := is.Field(i), was.Field(i)
		switch {
		case a.Kind() == reflect.Struct:
			keys = append(keys, differences(key, a, b)...)
		case a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0: // nil or empty
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			keys = append(keys, fmt.Sprintf("%s is %v, was %v", key, a.Interface(), b.Interface()))
		}
	}
	return keys
}
