package main

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

// callTimeout is what the other generator asks for in grpc-timeout.
const callTimeout = 10 * time.Second

// calls makes the calls of one run over one connection and checks their answers.
type calls struct {
	connection *grpc.ClientConn
	path       string
	requests   [][]byte
	expected   [][]byte

	lock       sync.Mutex
	errors     int
	firstError string
	// kept has the answers by the number of their request; nil when nobody wants them.
	kept [][]byte
}

func dial(wanted command, requests, expected [][]byte) (*calls, error) {
	connection, err := grpc.NewClient("unix://"+wanted.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// node:http2 resets a stream whose authority is the path of a socket.
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		return nil, err
	}
	made := &calls{connection: connection, path: wanted.Path, requests: requests, expected: expected}
	if wanted.Keep != "" {
		made.kept = make([][]byte, len(requests))
	}
	return made, nil
}

func (c *calls) close() { c.connection.Close() }

// call makes call number n of the run and counts it when it fails or is answered with other bytes than expected.
func (c *calls) call(n int) {
	index := n % len(c.requests)
	answer, err := c.invoke(c.path, c.requests[index])
	if err == nil && c.expected != nil && !bytes.Equal(answer, c.expected[index]) {
		err = errors.New("the answer is not the one expected")
	}
	if err == nil && c.kept == nil {
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if err == nil {
		c.kept[index] = answer
		return
	}
	c.errors++
	if c.firstError == "" {
		c.firstError = err.Error()
	}
}

func (c *calls) invoke(path string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var answer []byte
	err := c.connection.Invoke(ctx, path, request, &answer)
	return answer, err
}

// rawCodec takes messages that are serialised already, and gives them as they came.
type rawCodec struct{}

func (rawCodec) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, message any) error {
	*message.(*[]byte) = data.Materialize()
	return nil
}

// Name is empty for the content type "application/grpc", which kube-apiserver sends.
func (rawCodec) Name() string { return "" }
