package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// closedLoop has each of wanted.InFlight callers begin its next call when its last is answered, until wanted.Calls
// have begun or wanted.DurationMs have passed. It answers the latency of each call.
func closedLoop(call func(n int), wanted command) []time.Duration {
	var begun atomic.Int64
	began := time.Now()
	duration := time.Duration(wanted.DurationMs * float64(time.Millisecond))
	latencies := make([][]time.Duration, wanted.InFlight)
	var callers sync.WaitGroup
	for caller := range latencies {
		callers.Go(func() {
			for {
				sent := time.Now()
				if duration > 0 && sent.Sub(began) >= duration {
					return
				}
				n := int(begun.Add(1)) - 1
				if wanted.Calls > 0 && n >= wanted.Calls {
					return
				}
				call(n)
				latencies[caller] = append(latencies[caller], time.Since(sent))
			}
		})
	}
	callers.Wait()
	var all []time.Duration
	for _, each := range latencies {
		all = append(all, each...)
	}
	return all
}

// openLoop begins call n at n / ratePerSecond, whatever became of the others, and counts its latency from then: a
// server that stalls is charged for every call that it kept waiting (no coordinated omission).
func openLoop(call func(n int), ratePerSecond float64, calls int) []time.Duration {
	// One more than there may be processors: the sleep below holds one.
	before := runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	defer runtime.GOMAXPROCS(before)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	latencies := make([]time.Duration, calls)
	began := time.Now()
	var pending sync.WaitGroup
	for n := range calls {
		due := began.Add(time.Duration(float64(n) * float64(time.Second) / ratePerSecond))
		sleepUntil(due)
		pending.Go(func() {
			call(n)
			latencies[n] = time.Since(due)
		})
	}
	// Each call has a deadline of its own.
	pending.Wait()
	return latencies
}

// sleepUntil asks the kernel: a timer of the Go runtime is up to 1 ms late.
func sleepUntil(due time.Time) {
	for {
		left := time.Until(due)
		if left <= 0 {
			return
		}
		wait := syscall.NsecToTimespec(left.Nanoseconds())
		// Interrupted by a signal, it sleeps the rest.
		_ = syscall.Nanosleep(&wait, nil)
	}
}
