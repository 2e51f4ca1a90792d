package main

import (
	"bufio"
	"encoding/json"
	"io"
)

// operator is the dialogue with run.mjs, which owns the plugin and its keys.
type operator struct {
	out *json.Encoder
	in  *bufio.Scanner
}

// answer has no field set when run.mjs just did as it was asked.
type answer struct {
	Socket string   `json:"socket"`
	Peer   *transit `json:"peer"`
	Count  int      `json:"count"`
	Error  string   `json:"error"`
}

func newOperator(in io.Reader, out io.Writer) *operator {
	return &operator{out: json.NewEncoder(out), in: bufio.NewScanner(in)}
}

func (o *operator) tell(line any) {
	if err := o.out.Encode(line); err != nil {
		exit(err)
	}
}

// ask has run.mjs do something with the plugin and returns when it is done:
//
//	stop, start, restart    start and restart wait until the plugin says that it is ready
//	crash                   SIGKILL, then start
//	rotate                  a new version of the KEK, under a running plugin; not every backend has such a thing
//	move-primary            another KEK becomes primary, the old one stays; the plugin is restarted
//	peer                    answers with the key of a KMS that another plugin may use
//	foreign-decrypts        answers how many values of other plugins the plugin has opened since it was started
//	foreign                 starts a second plugin with a KEK of its own and answers with its socket
func (t *trial) ask(what string) answer {
	t.plugin.tell(map[string]string{"ask": what})
	if !t.plugin.in.Scan() {
		t.fail("%s: run.mjs is gone", what)
	}
	var a answer
	t.must(json.Unmarshal(t.plugin.in.Bytes(), &a), what)
	if a.Error != "" {
		t.fail("%s: %s", what, a.Error)
	}
	return a
}

// stopPlugin stops it for the rest of the scenario at most.
func (t *trial) stopPlugin() {
	t.cleanups = append(t.cleanups, func() { t.ask("start") })
	t.ask("stop")
}
