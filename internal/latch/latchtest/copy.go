package latchtest

import (
	"reflect"
	"sync"
	"time"
)

// replicate returns a copy that shares nothing with v and is what JSON would make of it, at a tenth of the cost: times
// are UTC and have lost what a process does not outlive, and an empty list is none. A time that is set is moved by by.
func replicate[T any](v T, by time.Duration) T {
	value := reflect.ValueOf(&v).Elem()
	renew(value, by)
	return v
}

var timeType = reflect.TypeFor[time.Time]()

// renew gives v, which is settable and may share what it points to, parts of its own.
func renew(v reflect.Value, by time.Duration) {
	if flat(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == timeType {
			at := v.Addr().Interface().(*time.Time)
			if !at.IsZero() {
				*at = at.UTC().Round(0).Add(by)
			}
			return
		}
		for i := range v.NumField() {
			renew(v.Field(i), by)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			own := reflect.New(v.Type().Elem())
			own.Elem().Set(v.Elem())
			renew(own.Elem(), by)
			v.Set(own)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		if !flat(v.Type().Elem()) {
			for i := range own.Len() {
				renew(own.Index(i), by)
			}
		}
		v.Set(own)
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		own := reflect.MakeMapWithSize(v.Type(), v.Len())
		value := reflect.New(v.Type().Elem()).Elem()
		for all := v.MapRange(); all.Next(); {
			value.Set(all.Value())
			renew(value, by)
			own.SetMapIndex(all.Key(), value)
		}
		v.Set(own)
	default:
		panic("latchtest: no copy of a " + v.Type().String())
	}
}

var flatTypes sync.Map // reflect.Type → bool

// flat types hold neither times nor anything that a copy would share.
func flat(t reflect.Type) bool {
	if known, ok := flatTypes.Load(t); ok {
		return known.(bool)
	}
	is := false
	switch t.Kind() {
	case reflect.Struct:
		is = t != timeType
		for i := range t.NumField() {
			is = is && flat(t.Field(i).Type)
		}
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		is = true
	}
	flatTypes.Store(t, is)
	return is
}
