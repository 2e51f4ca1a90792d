package main

import (
	"encoding/gob"
	"io"
)

// Secret is what the value in IBM's documentation holds.
type Secret struct {
	KpVersion  int
	WrappedDEK []byte
	Cipher     string
}

// The same in another order.
type reversed struct {
	Cipher     string
	WrappedDEK []byte
	KpVersion  int
}

// The same with other types of Go, and behind a pointer.
type otherTypes struct {
	WrappedDEK string
	KpVersion  uint16
	Cipher     []byte
}

// With fields that are defined, in types of their own, and never filled.
type unfilled struct {
	Before     map[string][]string
	KpVersion  int64
	Between    *inner
	WrappedDEK []byte
	Cipher     string
	After      []inner
}

type inner struct {
	Name string
	Next *inner
}

// With a field that is filled and that nobody knows.
type unknown struct {
	KpVersion  int
	WrappedDEK []byte
	Cipher     string
	Mode       string
}

type maker func(version int, wrappedDEK, cipher string) any

var shapes = map[string]maker{
	"published": func(v int, w, c string) any { return Secret{v, []byte(w), c} },
	"reversed":  func(v int, w, c string) any { return reversed{c, []byte(w), v} },
	"types":     func(v int, w, c string) any { return &otherTypes{w, uint16(v), []byte(c)} },
	"unfilled": func(v int, w, c string) any {
		return unfilled{KpVersion: int64(v), WrappedDEK: []byte(w), Cipher: c}
	},
	// The ids of types go up in a process: a plug-in that has encoded something else before has others.
	"later ids": func(v int, w, c string) any {
		var others = []any{map[int]bool{}, []float64{}, struct{ A, B complex128 }{}, [3]string{}}
		for _, other := range others {
			_ = gob.NewEncoder(io.Discard).Encode(other)
		}
		type Secret struct {
			WrappedDEK []byte
			Cipher     string
			KpVersion  int
		}
		return Secret{[]byte(w), c, v}
	},
	"unknown field": func(v int, w, c string) any { return unknown{v, []byte(w), c, "GCM"} },
	"no cipher":     func(v int, w, _ string) any { return Secret{v, []byte(w), ""} },
	"no struct":     func(_ int, w, c string) any { return []string{w, c} },
}
