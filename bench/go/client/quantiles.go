package main

import (
	"math"
	"slices"
	"time"
)

// quantiles are exact, in ms: the smallest value that the given share of all values does not exceed.
type quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func quantilesOf(values []time.Duration) quantiles {
	if len(values) == 0 {
		return quantiles{}
	}
	slices.Sort(values)
	at := func(share float64) float64 {
		index := max(0, int(math.Ceil(share*float64(len(values))))-1)
		return float64(values[index]) / float64(time.Millisecond)
	}
	return quantiles{P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}
}
