package config

import (
	"fmt"
	"strings"
)

// Endpoint finds an endpoint by its name or id. The error of one that is not there names those that are, and the one
// that was probably meant.
func (c *Config) Endpoint(name string) (Endpoint, error) {
	var names []string
	for _, e := range c.Endpoints {
		if e.Name == name || string(e.ID) == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	if near := nearest(name, names); distance(near, name) <= 2 {
		return Endpoint{}, fmt.Errorf("there is no endpoint %q: did you mean %s? There are: %s", name, near, strings.Join(names, ", "))
	}
	return Endpoint{}, fmt.Errorf("there is no endpoint %q. There are: %s", name, strings.Join(names, ", "))
}
