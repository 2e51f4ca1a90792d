// Makes values as k8s-kms-plugin, Kubernetes' mock and its local KEK do, by Go's standard library alone, under new keys at
// each run. Prints them in the form of test/vectors/foreign.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

type key struct {
	Label  string            `json:"label"`
	ID     string            `json:"id"`
	AES    string            `json:"aes,omitempty"`
	Secret string            `json:"secret,omitempty"`
	RSA    map[string]string `json:"rsa,omitempty"`
}

type value struct {
	Format      string            `json:"format"`
	API         string            `json:"api"`
	Ciphertext  []byte            `json:"ciphertext"`
	KeyID       string            `json:"keyId,omitempty"`
	Annotations map[string][]byte `json:"annotations,omitempty"`
	Plaintext   []byte            `json:"plaintext"`
	Note        string            `json:"note"`
	OpensWith   string            `json:"opensWith"`
	Tag         string            `json:"tag,omitempty"`
}

// The members in the order of gose's struct.
type header struct {
	Alg    string `json:"alg"`
	Kid    string `json:"kid,omitempty"`
	Typ    string `json:"typ,omitempty"`
	Cty    string `json:"cty,omitempty"`
	Length string `json:"_thales_aad,omitempty"`
	Enc    string `json:"enc"`
}

func fresh(length int) []byte {
	bytes := make([]byte, length)
	// Never fails: crypto/rand ends the program first.
	rand.Read(bytes)
	return bytes
}

func must[T any](result T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return result
}

var b64 = base64.RawURLEncoding

func text(h header) string { return b64.EncodeToString(must(json.Marshal(h))) }

func compact(head string, parts ...[]byte) []byte {
	for _, part := range parts {
		head += "." + b64.EncodeToString(part)
	}
	return []byte(head)
}

func seal(secret, nonce, plain, aad []byte) []byte {
	gcm := must(cipher.NewGCMWithNonceSize(must(aes.NewCipher(secret)), len(nonce)))
	return gcm.Seal(nil, nonce, plain, aad)
}

func mac(secret, input []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(input)
	return h.Sum(nil)
}

func gcmJwe(secret []byte, label string, nonceBytes int, plain []byte) []byte {
	head := text(header{Alg: "dir", Kid: label, Enc: fmt.Sprintf("A%dGCM", 8*len(secret))})
	nonce := fresh(nonceBytes)
	sealed := seal(secret, nonce, plain, []byte(head))
	return compact(head, nil, nonce, sealed[:len(plain)], sealed[len(plain):])
}

func cbcJwe(secret, macKey []byte, kid, generation string, plain []byte) []byte {
	iv := fresh(aes.BlockSize)
	blocks := make([]byte, (len(plain)+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	copy(blocks, plain)
	cipher.NewCBCEncrypter(must(aes.NewCipher(secret)), iv).CryptBlocks(blocks, blocks)
	// Of whole blocks one more is stored, which nobody encrypted.
	stored := make([]byte, len(plain)/aes.BlockSize*aes.BlockSize+aes.BlockSize)
	copy(stored, blocks)
	h := header{Alg: "A256CBC", Kid: kid, Typ: "JWT", Cty: "JWT", Enc: "A256CBC"}
	early := text(h)
	h.Length = b64.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(len(plain))))
	head := text(h)
	input := func(head string) []byte {
		return binary.BigEndian.AppendUint64(append(append([]byte(head), iv...), stored...), uint64(len(head)))
	}
	tag := map[string][]byte{
		"a": append(input(early), mac(macKey, nil)...),
		"b": mac(macKey, nil),
		"c": mac(macKey, input(head)),
	}[generation]
	return compact(head, nil, iv, stored, tag)
}

func rsaJwe(public *rsa.PublicKey, alg string, plain []byte) []byte {
	head := text(header{Alg: alg, Typ: "JWT", Cty: "JWT", Enc: "A256GCM"})
	secret, nonce := fresh(32), fresh(12)
	wrapped := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, public, secret, nil))
	sealed := seal(secret, nonce, plain, []byte(head))
	return compact(head, wrapped, nonce, sealed[:len(plain)], sealed[len(plain):])
}

func jwk(private *rsa.PrivateKey) map[string]string {
	private.Precompute()
	part := func(bytes []byte) string { return b64.EncodeToString(bytes) }
	return map[string]string{
		"kty": "RSA", "n": part(private.N.Bytes()), "e": "AQAB", "d": part(private.D.Bytes()),
		"p": part(private.Primes[0].Bytes()), "q": part(private.Primes[1].Bytes()),
		"dp": part(private.Precomputed.Dp.Bytes()), "dq": part(private.Precomputed.Dq.Bytes()),
		"qi": part(private.Precomputed.Qinv.Bytes()),
	}
}

func main() {
	const domain = "k8s-kms-plugin.keysealer.eclipse.org"
	macKey := fresh(32)
	keys := map[string]key{"mac": {Label: "mac", ID: "0d", Secret: hex.EncodeToString(macKey)}}
	var values []value
	add := func(v value) { values = append(values, v) }
	jwe := func(v value, family string) {
		v.Format, v.API = "k8s-kms-plugin", "v1"
		add(v)
		v.API, v.KeyID = "v2", keys[v.OpensWith].ID
		v.Annotations = map[string][]byte{"algorithm-family." + domain: []byte(family)}
		// The header of aes-cbc names the key of v2 and none on v1.
		if v.Tag == "" {
			add(v)
		}
	}
	for _, size := range []int{16, 24, 32} {
		name, secret := fmt.Sprintf("aes%d", 8*size), fresh(size)
		keys[name] = key{Label: name, ID: hex.EncodeToString([]byte(name)), AES: hex.EncodeToString(secret)}
		for _, length := range []int{1, 15, 16, 17, 32, 33} {
			plain := fresh(length)
			for _, nonceBytes := range []int{12, 16} {
				ciphertext := gcmJwe(secret, name, nonceBytes, plain)
				jwe(value{Ciphertext: ciphertext, Plaintext: plain, OpensWith: name, Note: "aes-gcm"}, "aes-gcm")
			}
			for _, generation := range []string{"a", "b", "c"} {
				if size != 32 {
					continue
				}
				ciphertext := cbcJwe(secret, macKey, "", generation, plain)
				jwe(value{Ciphertext: ciphertext, Plaintext: plain, OpensWith: name, Tag: generation, Note: "aes-cbc"}, "")
			}
		}
	}
	private := must(rsa.GenerateKey(rand.Reader, 2048))
	keys["rsa"] = key{Label: "rsa", ID: "0e", RSA: jwk(private)}
	for _, alg := range []string{"RSA-OAEP", "RSA-OAEP-256"} {
		plain := fresh(32)
		ciphertext := rsaJwe(&private.PublicKey, alg, plain)
		jwe(value{Ciphertext: ciphertext, Plaintext: plain, OpensWith: "rsa", Note: alg}, "rsa-oaep")
	}
	kek := fresh(32)
	keys["mock"] = key{Label: "kms-test", ID: "0f", AES: hex.EncodeToString(kek)}
	mock := func(plain []byte, nonceBytes int) []byte {
		nonce := fresh(nonceBytes)
		return append(nonce, seal(kek, nonce, plain, []byte("kms-test"))...)
	}
	version := map[string][]byte{"version.encryption.remote.io": []byte("1")}
	for _, nonceBytes := range []int{12, 16} {
		plain, local, nonce := fresh(32), fresh(32), fresh(12)
		v := value{Format: "kubernetes-kms-mock", API: "v2", KeyID: "kms-test", OpensWith: "mock", Plaintext: plain}
		v.Ciphertext, v.Annotations, v.Note = mock(plain, nonceBytes), version, "mock"
		add(v)
		v.Annotations = map[string][]byte{"v2.kleidi.beezy.dev": []byte("1")}
		v.Note = "kleidi"
		add(v)
		v.Format, v.Note = "kubernetes-local-kek", "local KEK"
		v.Ciphertext = append(nonce, seal(local, nonce, plain, nil)...)
		v.Annotations = map[string][]byte{
			"version.encryption.remote.io":              []byte("1"),
			"encrypted-kek.reference.encryption.k8s.io": mock(local, nonceBytes),
		}
		add(v)
	}
	must(0, json.NewEncoder(os.Stdout).Encode(map[string]any{"key": keys, "values": values}))
}
