package switches

import "crypto/sha256"

// Picker picks every nth request, but not one that repeats a picked one: who tries again gets through. The zero value is
// ready; it locks nothing itself.
type Picker struct {
	seen   int
	picked map[[sha256.Size]byte]bool
}

const pickedMost = 1000 // requests that were picked and never repeated are forgotten beyond this many

// Pick counts a request, which what and body tell from others, and says whether it is picked.
func (p *Picker) Pick(nth int, what string, body []byte) bool {
	key := sha256.Sum256(append([]byte(what+"\n"), body...))
	if p.picked[key] {
		delete(p.picked, key)
		return false
	}
	if p.seen++; p.seen%nth != 0 {
		return false
	}
	if p.picked == nil || len(p.picked) >= pickedMost {
		p.picked = map[[sha256.Size]byte]bool{}
	}
	p.picked[key] = true
	return true
}

// Seen is how many requests were counted, the picked ones among them.
func (p *Picker) Seen() int { return p.seen }
