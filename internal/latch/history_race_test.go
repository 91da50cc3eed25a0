//go:build race

package latch_test

// Under the race detector, which makes them six times as slow, it is a sample; the test command plays all without it.
const defaultHistories, crashEvery = 120, 29
