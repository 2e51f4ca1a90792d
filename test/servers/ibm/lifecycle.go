// What a manager does to a key, and what the KMS then says to those who use it.
package main

import (
	"os"

	kp "github.com/IBM/keyprotect-go-client"
)

func rotate(t *trial) {
	old, err := t.client.WrapV2(t.ctx, t.key, dek, nil)
	t.no(err)
	t.no(t.client.Rotate(t.ctx, t.key, ""))
	fresh, err := t.client.WrapV2(t.ctx, t.key, dek, nil)
	t.no(err)
	t.that("another version", fresh.KeyVersion.ID != old.KeyVersion.ID)
	key, err := t.client.GetKeyMetadata(t.ctx, t.key)
	t.no(err)
	t.same("version", key.KeyVersion.ID, fresh.KeyVersion.ID)
	plain, rewrapped, err := t.client.UnwrapV2(t.ctx, t.key, []byte(old.CipherText), nil)
	t.no(err)
	t.same("plaintext", string(plain), string(dek))
	again, more, err := t.client.UnwrapV2(t.ctx, t.key, rewrapped, nil)
	t.no(err)
	t.same("plaintext, wrapped anew", string(again), string(dek))
	t.same("ciphertext of the newest version", string(more), "")
	t.refused(t.client.Rotate(t.ctx, t.key, ""), 409, "KEY_ROTATION_NOT_PERMITTED")
}

func disable(t *trial) {
	_, wrapped, err := t.client.WrapCreateDEK(t.ctx, t.key, nil)
	t.no(err)
	t.no(t.client.DisableKey(t.ctx, t.key))
	_, err = t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refused(err, 409, "KEY_ACTION_INVALID_STATE_ERR")
	_, err = t.client.Unwrap(t.ctx, t.key, wrapped, nil)
	t.refused(err, 409, "KEY_ACTION_INVALID_STATE_ERR")
	t.state(kp.Suspended)
	t.refused(t.client.EnableKey(t.ctx, t.key), 409, "REQ_TOO_EARLY_ERR")
}

func enable(t *trial) {
	t.no(t.client.EnableKey(t.ctx, t.key))
	t.state(kp.Active)
	_, err := t.client.Wrap(t.ctx, t.key, dek, nil)
	t.no(err)
}

func deleteKey(t *trial) {
	_, err := t.client.DeleteKey(t.ctx, t.key, kp.ReturnMinimal)
	t.no(err)
	_, err = t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refused(err, 410, "KEY_DELETED_ERR")
	t.state(kp.Destroyed)
}

func restore(t *trial) {
	_, err := t.client.RestoreKey(t.ctx, t.key)
	t.no(err)
	t.state(kp.Active)
}

func standardKey(t *trial) {
	_, err := t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refused(err, 400, "KEY_ROOT_REQ_ERR")
	key, err := t.client.GetKeyMetadata(t.ctx, t.key)
	t.no(err)
	t.same("extractable", key.Extractable, true)
}

// reader is all that the plugin needs to be.
func reader(t *trial) {
	_, wrapped, err := t.client.WrapCreateDEK(t.ctx, t.key, nil)
	t.no(err)
	_, err = t.client.Unwrap(t.ctx, t.key, wrapped, nil)
	t.no(err)
	_, err = t.client.GetKeyMetadata(t.ctx, t.key)
	t.no(err)
	t.refused(t.client.Rotate(t.ctx, t.key, ""), 401, "")
	t.refused(t.client.DisableKey(t.ctx, t.key), 401, "")
}

func absent(t *trial) {
	_, err := t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refused(err, 404, "KEY_NOT_FOUND_ERR")
	_, err = t.client.GetKeyMetadata(t.ctx, t.key)
	t.refused(err, 404, "KEY_NOT_FOUND_ERR")
}

func foreignInstance(t *trial) {
	_, err := t.client.GetKeyMetadata(t.ctx, t.key)
	t.refused(err, 400, "")
}

func otherRing(t *trial) {
	_, err := t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refused(err, 404, "KEY_NOT_FOUND_ERR")
}

func wrongAPIKey(t *trial) {
	_, err := t.client.Wrap(t.ctx, t.key, dek, nil)
	t.refusedByIAM(err, 400, "BXNIM0415E")
}

// open unwraps what the plugin has wrapped.
func open(t *trial) {
	plain, err := t.client.Unwrap(t.ctx, t.key, []byte(os.Args[2]), bound)
	t.no(err)
	t.say(string(plain))
}

// seal wraps for the plugin to unwrap.
func seal(t *trial) {
	wrapped, err := t.client.Wrap(t.ctx, t.key, dek, bound)
	t.no(err)
	t.say(string(wrapped))
}
