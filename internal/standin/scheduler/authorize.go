package scheduler

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// principal is how IAM knows this service.
const principal = "scheduler.amazonaws.com"

// unauthorized asks IAM about the action, and about passing its role to a schedule that is made or changed. Resources are
// those of "Actions, resources, and condition keys for Amazon EventBridge Scheduler", Service Authorization Reference,
// in which ListSchedules has none.
func (s *Server) unauthorized(key, action string, r *http.Request, body []byte) error {
	if s.cfg.Authorize == nil {
		return nil
	}
	ask := func(action, resource string, context map[string]string) error {
		context["aws:RequestedRegion"] = s.cfg.Region
		if err := s.cfg.Authorize(key, action, resource, context); err != nil {
			return &apiError{http.StatusForbidden, "AccessDeniedException", err.Error()}
		}
		return nil
	}
	name, group := r.PathValue("name"), r.URL.Query().Get("groupName")
	var in struct {
		GroupName string
		Target    struct{ RoleArn string }
	}
	passes := action == "CreateSchedule" || action == "UpdateSchedule"
	if passes {
		_ = json.Unmarshal(body, &in) // what is wrong with it is said by who reads all of it
		group = in.GroupName
	}
	resource := s.arn(&schedule{Group: cmp.Or(group, defaultGroup), Name: name})
	switch action {
	case "ListSchedules":
		resource = "*"
	case "CreateScheduleGroup", "GetScheduleGroup", "DeleteScheduleGroup":
		resource = s.groupARN(name)
	}
	if err := ask("scheduler:"+action, resource, map[string]string{}); err != nil || !passes || in.Target.RoleArn == "" {
		return err
	}
	return ask("iam:PassRole", in.Target.RoleArn, map[string]string{"iam:PassedToService": principal})
}

// assume gives the credentials of a role for the schedules of a group. The source that a trust policy may ask for is the
// group, never the schedule ("Confused deputy prevention in EventBridge Scheduler").
func (s *Server) assume(roleARN, group string) (sigv4.Credentials, error) {
	if s.cfg.Assume == nil {
		return s.cfg.Caller, nil
	}
	return s.cfg.Assume(roleARN, s.groupARN(group))
}
