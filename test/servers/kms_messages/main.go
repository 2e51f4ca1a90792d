// Reads messages of the KMS APIs as kube-apiserver does, by Go's own protobuf: for each line `TYPE HEX` of its input one
// line, `refused`, or the fields that it read, written anew as hex.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "k8s.io/kms/apis/v1beta1"
	_ "k8s.io/kms/apis/v2"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		name, digits, _ := strings.Cut(lines.Text(), " ")
		answer, err := readAnew(name, digits)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out, answer)
	}
}

func readAnew(name, digits string) (string, error) {
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		return "", err
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return "", err
	}
	message := kind.New().Interface()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(bytes, message); err != nil {
		return "refused", nil
	}
	written, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	return hex.EncodeToString(written), err
}
