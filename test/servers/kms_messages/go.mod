module kmsplugin/kms_messages

go 1.26.0

require (
	google.golang.org/protobuf v1.36.12-0.20260120151049-f2248ac996af
	k8s.io/kms v0.36.6
)
