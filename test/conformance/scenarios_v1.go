package main

// What kube-apiserver does with a KMS v1 provider, and on the way from v1 to v2.

func v1RoundTrip(t *trial) {
	a := t.apiserver(v1)
	t.must(a.health(), "health")
	t.mustRead(a, t.store(a, v1, secrets), false, "the writer")
}

func v1OtherPath(t *trial) { mustNotMove(t, v1) }

func v1PluginRestart(t *trial) {
	writer, reader := t.apiserver(v1), t.apiserver(v1)
	stored := t.store(writer, v1, secrets)
	t.ask("restart")
	t.mustRead(reader, stored, false, "a kube-apiserver that ran on")
	t.mustRead(t.apiserver(v1), stored, false, "a new kube-apiserver")
	t.mustRead(reader, t.store(writer, v1, secrets), false, "a kube-apiserver that ran on, of a new value")
}

func v1ToV2(t *trial) {
	old := t.store(t.apiserver(v1), v1, secrets)
	both := t.apiserver(v2, v1)
	t.must(both.health(), "health")
	// Stale: the next update writes it anew even if nothing in it changed. That is the migration.
	t.mustRead(both, old, true, "a kube-apiserver with v2 before v1")
	rewritten := t.store(both, v2, secrets)
	t.mustRead(both, rewritten, false, "the same")
	t.mustRead(t.apiserver(v2), rewritten, false, "a kube-apiserver with v2 alone")
}
