package deadman

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// nobodys is no association, so that no switch has its name. It has an association's form, because the functions' role may
// read such switches only.
const nobodys latch.AssociationID = "cvpn-assoc-00000000000000000"

// Probe asks Scheduler for a switch that is not there, which changes nothing. Nil: the caller may look, and there is no
// such switch. latch.ErrNotFound: the group is missing, if Scheduler says so; it is not documented which of the two it
// names where neither is there. Whether switches may be made and deleted, it does not tell.
func (d *Deadman) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := d.client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: new(name(nobodys)), GroupName: new(d.group)})
	if missing, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		// Both are one code; the sentence is all that tells them apart.
		if !strings.Contains(strings.ToLower(missing.ErrorMessage()), "schedule group") {
			return nil
		}
		return fmt.Errorf("schedule group %s: %w", d.group, service.As(latch.ErrNotFound, err))
	}
	if err != nil {
		return fmt.Errorf("look for a switch in schedule group %s: %w", d.group, service.Translate(err))
	}
	return nil
}
