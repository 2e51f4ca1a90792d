// Encrypts as OVHcloud's okms-k8s-encryption-provider calls the client of its library: AES-GCM with an IV of 12 bytes that it
// chose, no associated data, the tag behind the ciphertext. One line of base64 in, one line of JSON out.
package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/ovh/kmip-go"
	"github.com/ovh/kmip-go/kmipclient"
)

type value struct {
	Ciphertext []byte `json:"ciphertext"`
	IV         []byte `json:"iv"`
}

func main() {
	address := flag.String("address", "", "host:port of the server")
	ca := flag.String("ca", "", "PEM file of the authority of the server")
	cert := flag.String("cert", "", "PEM file of the client's certificate")
	key := flag.String("key", "", "PEM file of its key")
	uid := flag.String("uid", "", "of the key to encrypt with")
	minor := flag.Int("minor", 4, "of the version of KMIP 1 to speak")
	flag.Parse()

	client, err := kmipclient.Dial(*address,
		kmipclient.WithRootCAFile(*ca),
		kmipclient.WithClientCertFiles(*cert, *key),
		kmipclient.EnforceVersion(kmip.ProtocolVersion{ProtocolVersionMajor: 1, ProtocolVersionMinor: int32(*minor)}))
	exitOn(err)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		plaintext, err := base64.StdEncoding.DecodeString(lines.Text())
		exitOn(err)
		sealed, err := encrypt(client, *uid, plaintext)
		exitOn(err)
		line, err := json.Marshal(sealed)
		exitOn(err)
		fmt.Println(string(line))
	}
	exitOn(lines.Err())
}

func encrypt(client *kmipclient.Client, uid string, plaintext []byte) (value, error) {
	iv := make([]byte, 12)
	if _, err := rand.Read(iv); err != nil {
		return value{}, err
	}
	answer, err := client.Encrypt(uid).
		WithCryptographicParameters(kmip.CryptographicParameters{
			CryptographicAlgorithm: kmip.CryptographicAlgorithmAES,
			BlockCipherMode:        kmip.BlockCipherModeGCM,
			TagLength:              16,
			IVLength:               12,
		}).
		WithIvCounterNonce(iv).
		Data(plaintext).
		Exec()
	if err != nil {
		return value{}, err
	}
	return value{Ciphertext: append(answer.Data, answer.AuthenticatedEncryptionTag...), IV: iv}, nil
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
