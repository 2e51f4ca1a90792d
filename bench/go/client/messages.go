package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
)

// readMessages reads a file of messages, each behind its length in 4 bytes, big-endian.
func readMessages(path string) ([][]byte, error) {
	all, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for len(all) > 0 {
		if len(all) < 4 || uint64(len(all)-4) < uint64(binary.BigEndian.Uint32(all)) {
			return nil, errors.New("the file of messages ends inside one")
		}
		end := 4 + int(binary.BigEndian.Uint32(all))
		messages = append(messages, all[4:end:end])
		all = all[end:]
	}
	return messages, nil
}

// writeMessages writes what readMessages reads.
func writeMessages(path string, messages [][]byte) error {
	var all bytes.Buffer
	for _, message := range messages {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(message)))
		all.Write(length[:])
		all.Write(message)
	}
	return os.WriteFile(path, all.Bytes(), 0o600)
}
