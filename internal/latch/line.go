package latch

import "unicode"

// Unprintable says of a character that it has no place in a line that people read, in a log, an audit or a terminal: it is
// a control character, ends the line, or turns the text around it so that what is seen is not what is there (Unicode
// Standard Annex #9, explicit directional formatting characters).
func Unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
