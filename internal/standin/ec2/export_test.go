package ec2

// Table is what the stand-in knows of an action's parameters, for a test to hold it against the SDK's model.
type Table struct {
	Params   map[string]string // a parameter's shape and its kind
	Required []string
}

func Tables() map[string]Table {
	out := map[string]Table{}
	for name, a := range actions {
		t := Table{map[string]string{}, a.required}
		for p, k := range a.params {
			t.Params[p] = map[kind]string{text: "text", clientToken: "text", boolean: "boolean", integer: "integer", pageSize: "integer"}[k]
		}
		out[name] = t
	}
	return out
}

var Shape = shape
