// Writes values as the KMS plug-in of IBM Cloud Private does, with Go's own encoding/gob and crypto/cipher: one line of
// JSON in, one line of base64 out. Nothing here knows how the plugin under test reads them.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// What a test wants of a value.
type wish struct {
	// See shapes.go.
	Shape      string
	Version    int
	WrappedDEK string
	Key        []byte
	Plaintext  []byte
	// 0: PKCS#7; else how many bytes stand before the plaintext and say its length.
	LengthBytes int
	// What fills the last block behind such a length.
	Fill byte
}

func main() {
	lines := json.NewDecoder(os.Stdin)
	for {
		var w wish
		if err := lines.Decode(&w); err == io.EOF {
			return
		} else if err != nil {
			fatal(err)
		}
		value, err := w.value()
		if err != nil {
			fatal(err)
		}
		fmt.Println(base64.StdEncoding.EncodeToString(value))
	}
}

func (w wish) value() ([]byte, error) {
	sealed, err := w.sealed()
	if err != nil {
		return nil, err
	}
	shape, ok := shapes[w.Shape]
	if !ok {
		return nil, fmt.Errorf("no shape %q", w.Shape)
	}
	var stream bytes.Buffer
	text := base64.StdEncoding.EncodeToString(sealed)
	if err := gob.NewEncoder(&stream).Encode(shape(w.Version, w.WrappedDEK, text)); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(stream.Bytes())), nil
}

// A random IV, then AES-CBC.
func (w wish) sealed() ([]byte, error) {
	block, err := aes.NewCipher(w.Key)
	if err != nil {
		return nil, err
	}
	padded := w.padded()
	sealed := make([]byte, aes.BlockSize+len(padded))
	if _, err := rand.Read(sealed[:aes.BlockSize]); err != nil {
		return nil, err
	}
	cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], padded)
	return sealed, nil
}

func (w wish) padded() []byte {
	if w.LengthBytes == 0 {
		missing := aes.BlockSize - len(w.Plaintext)%aes.BlockSize
		return append(bytes.Clone(w.Plaintext), bytes.Repeat([]byte{byte(missing)}, missing)...)
	}
	length := binary.BigEndian.AppendUint64(nil, uint64(len(w.Plaintext)))
	padded := append(length[8-w.LengthBytes:], w.Plaintext...)
	for len(padded)%aes.BlockSize != 0 {
		padded = append(padded, w.Fill)
	}
	return padded
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
