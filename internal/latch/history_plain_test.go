//go:build !race

package latch_test

// defaultHistories is how many random histories are played, and crashEvery which of the calls a process dies at: all.
const defaultHistories, crashEvery = 10_000, 1
