package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func run(wanted command) (*result, error) {
	requests, err := readMessages(wanted.Requests)
	if err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s holds no message", wanted.Requests)
	}
	var expected [][]byte
	if wanted.Answers != "" {
		if expected, err = readMessages(wanted.Answers); err != nil {
			return nil, err
		}
	}
	calls, err := dial(wanted, requests, expected)
	if err != nil {
		return nil, err
	}
	defer calls.close()
	// Connects.
	if _, err := calls.invoke("/v2.KeyManagementService/Status", nil); err != nil {
		return nil, err
	}

	before := cpuTime()
	began := time.Now()
	var latencies []time.Duration
	if wanted.RatePerSecond > 0 {
		latencies = openLoop(calls.call, wanted.RatePerSecond, wanted.Calls)
	} else {
		latencies = closedLoop(calls.call, wanted)
	}
	seconds := time.Since(began).Seconds()
	cpu := cpuTime() - before

	if wanted.Keep != "" {
		if err := writeMessages(wanted.Keep, calls.kept); err != nil {
			return nil, err
		}
	}
	return &result{
		Calls:       len(latencies),
		Errors:      calls.errors,
		FirstError:  calls.firstError,
		Seconds:     seconds,
		ClientCPUMs: float64(cpu) / float64(time.Millisecond),
		LatencyMs:   quantilesOf(latencies),
	}, nil
}

// cpuTime is that of this process with all its threads so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
