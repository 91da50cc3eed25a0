package ec2

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxTags is how many tags a resource has at most ("Tag your Amazon EC2 resources", EC2 User Guide, also for the lengths).
const maxTags = 50

type tagXML struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// tags are a resource's, by key.
func (s *Server) tags(id string) []tagXML {
	var out []tagXML
	for _, key := range slices.Sorted(maps.Keys(s.state.Tags[id])) {
		out = append(out, tagXML{key, s.state.Tags[id][key]})
	}
	return out
}

// tagged checks that every resource that the request names is there.
func (s *Server) tagged(p params) ([]string, *fault) {
	ids := p.list("ResourceId")
	for _, id := range ids {
		var code string
		var known bool
		switch resourceType(id) {
		case "client-vpn-endpoint":
			if _, f := s.endpoint(id); f != nil {
				return nil, f
			}
			known = true
		case "subnet":
			code, known = "InvalidSubnetID.NotFound", slices.ContainsFunc(s.state.subnets(), func(sub Subnet) bool { return sub.ID == id })
		case "security-group":
			code = "InvalidGroup.NotFound"
			_, known = s.state.group(id)
		default:
			code = "InvalidID"
		}
		if !known {
			return nil, refuse(code, "The ID '%s' is not valid, or there is no such resource", id)
		}
	}
	return ids, nil
}

func resourceType(id string) string {
	switch {
	case strings.HasPrefix(id, "cvpn-endpoint-"):
		return "client-vpn-endpoint"
	case strings.HasPrefix(id, "subnet-"):
		return "subnet"
	case strings.HasPrefix(id, "sg-"):
		return "security-group"
	}
	return ""
}

// createTags sets all of the request's tags on all of its resources, or none on any.
func (s *Server) createTags(p params, _ time.Time) (result, *fault) {
	ids, f := s.tagged(p)
	if f != nil {
		return nil, f
	}
	given := map[string]string{}
	for _, n := range p.numbers("Tag") {
		prefix := "Tag." + strconv.Itoa(n)
		key, value := p[prefix+".Key"], p[prefix+".Value"]
		_, twice := given[key]
		switch {
		case key == "":
			return nil, refuse("InvalidTagKey.Malformed", "Tag keys cannot be empty")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case len([]rune(key)) > 128:
			return nil, refuse("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
		case len([]rune(value)) > 256:
			return nil, refuse("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
		case twice:
			return nil, refuse("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		given[key] = value
	}
	for _, id := range ids {
		all := maps.Clone(s.state.Tags[id])
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, given)
		if len(all) > maxTags {
			return nil, refuse("TagLimitExceeded", "More than %d tags specified for %s", maxTags, id)
		}
	}
	for _, id := range ids {
		if s.state.Tags[id] == nil {
			s.state.Tags[id] = map[string]string{}
		}
		maps.Copy(s.state.Tags[id], given)
	}
	return &done{Return: true}, nil
}

// deleteTags deletes the tags that the request names: by key alone, by key and value (an empty one, too), or all when it
// names none. What is not there is no error.
func (s *Server) deleteTags(p params, _ time.Time) (result, *fault) {
	ids, f := s.tagged(p)
	if f != nil {
		return nil, f
	}
	numbers := p.numbers("Tag")
	for _, n := range numbers {
		if p["Tag."+strconv.Itoa(n)+".Key"] == "" {
			return nil, refuse("InvalidTagKey.Malformed", "Tag keys cannot be empty")
		}
	}
	for _, id := range ids {
		maps.DeleteFunc(s.state.Tags[id], func(key, value string) bool {
			return len(numbers) == 0 || slices.ContainsFunc(numbers, func(n int) bool {
				prefix := "Tag." + strconv.Itoa(n)
				only, given := p[prefix+".Value"]
				return p[prefix+".Key"] == key && (!given || only == value)
			})
		})
	}
	return &done{Return: true}, nil
}

type tagItemXML struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

func (v tagItemXML) field(name string) []string {
	switch name {
	case "key":
		return []string{v.Key}
	case "value":
		return []string{v.Value}
	case "resource-id":
		return []string{v.ResourceID}
	case "resource-type":
		return []string{v.ResourceType}
	case "tag-key": // of other describes
		return nil
	}
	return byTag([]tagXML{{v.Key, v.Value}}, name)
}

func (s *Server) describeTags(p params, _ time.Time) (result, *fault) {
	var views []tagItemXML
	for _, id := range slices.Sorted(maps.Keys(s.state.Tags)) {
		for _, t := range s.tags(id) {
			views = append(views, tagItemXML{id, resourceType(id), t.Key, t.Value})
		}
	}
	return describe(p, views, tagItemXML.field, func(page []tagItemXML, next string) result {
		return &struct {
			reply
			Items set[tagItemXML] `xml:"tagSet"`
			Next  string          `xml:"nextToken,omitempty"`
		}{Items: set[tagItemXML]{page}, Next: next}
	})
}
