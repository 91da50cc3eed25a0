package access

import "time"

// Take is the generic cell rate algorithm (ITU-T I.371) for one who gets burst changes at once and one more in every:
// paid is until when their earlier changes have been paid for, zero if there were none. It returns until when they are
// with this one, or how long to wait until it may be, which is never longer than every.
//
// A paid further ahead than any change can have put it is another clock's, or another setting's: it lets one through and
// is put right by that, so that nobody is kept out for as long as a clock was wrong.
func Take(paid, now time.Time, every time.Duration, burst int) (next time.Time, wait time.Duration) {
	most := now.Add(time.Duration(burst-1) * every)
	switch {
	case paid.Before(now):
		paid = now
	case paid.After(most.Add(every)):
		paid = most
	case paid.After(most):
		return paid, paid.Sub(most)
	}
	return paid.Add(every), 0
}
