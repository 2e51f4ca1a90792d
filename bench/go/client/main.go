// The load generator with the unmodified grpc-go client, as kube-apiserver uses it: the same commands and answers, a
// line each, as ../../client/main.mjs, which documents them.
package main

import (
	"bufio"
	"encoding/json"
	"os"
)

type command struct {
	Socket        string  `json:"socket"`
	Path          string  `json:"path"`
	Requests      string  `json:"requests"`
	Answers       string  `json:"answers"`
	Keep          string  `json:"keep"`
	InFlight      int     `json:"inFlight"`
	Calls         int     `json:"calls"`
	DurationMs    float64 `json:"durationMs"`
	RatePerSecond float64 `json:"ratePerSecond"`
}

type result struct {
	Calls       int       `json:"calls"`
	Errors      int       `json:"errors"`
	FirstError  string    `json:"firstError,omitempty"`
	Seconds     float64   `json:"seconds"`
	ClientCPUMs float64   `json:"clientCpuMs"`
	LatencyMs   quantiles `json:"latencyMs"`
}

type problem struct {
	Problem string `json:"problem"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var wanted command
		if err := json.Unmarshal(lines.Bytes(), &wanted); err != nil {
			answers.Encode(problem{err.Error()})
			continue
		}
		if done, err := run(wanted); err != nil {
			answers.Encode(problem{err.Error()})
		} else {
			answers.Encode(done)
		}
	}
}
