package ec2_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

// tape records the form of a request and answers nothing.
type tape struct{ form url.Values }

func (t *tape) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if t.form, err = url.ParseQuery(string(body)); err != nil {
		return nil, err
	}
	return nil, errors.New("recorded")
}

// fill sets everything in v, or only the named fields of a struct.
func fill(v reflect.Value, only ...string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "ResultMetadata" && (len(only) == 0 || slices.Contains(only, f.Name)) {
				fill(v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32:
		v.SetInt(8)
	}
}

// The table of parameters is the one that the SDK was generated from: names on the wire, types, what is required.
func TestModel(t *testing.T) {
	tables := ec2.Tables()
	if len(tables) != 18 {
		t.Errorf("%d actions; this test expects 18", len(tables))
	}
	for _, action := range slices.Sorted(maps.Keys(tables)) {
		t.Run(action, func(t *testing.T) {
			rec := &tape{}
			call := reflect.ValueOf(client(rec, "https://ec2.us-east-1.amazonaws.com")).MethodByName(action)
			if !call.IsValid() {
				t.Fatal("the SDK has no such action")
			}
			try := func(all bool, only ...string) error {
				in := reflect.New(call.Type().In(1).Elem())
				if all || len(only) > 0 {
					fill(in.Elem(), only...)
				}
				out := call.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
				err, _ := out[1].Interface().(error)
				return err
			}
			try(true)
			want := map[string]string{}
			for name, v := range rec.form {
				if name != "Action" && name != "Version" {
					want[ec2.Shape(name)] = map[string]string{"x": "text", "true": "boolean", "8": "integer"}[v[0]]
				}
			}
			if got := tables[action].Params; !maps.Equal(got, want) {
				t.Errorf("parameters\n got %v\nwant %v", got, want)
			}
			var required, fields []string
			if missing, ok := errors.AsType[smithy.InvalidParamsError](try(false)); ok {
				for line := range strings.Lines(missing.Error()) {
					if _, field, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), "."), "Input."); ok {
						fields = append(fields, field)
					}
				}
				try(false, fields...)
				for name := range rec.form {
					base, _, _ := strings.Cut(name, ".")
					if base != "Action" && base != "Version" && base != "ClientToken" && !slices.Contains(required, base) {
						required = append(required, base)
					}
				}
			}
			slices.Sort(required)
			if got := tables[action].Required; !slices.Equal(got, required) {
				t.Errorf("required\n got %v\nwant %v", got, required)
			}
		})
	}
}
