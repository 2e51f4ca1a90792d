/* How do other HSMs differ from the real module? Each habit is asked for in the control file; without, nothing. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "fault_module.h"

#define LUNA_IV_BYTES 16
#define CLOUDHSM_IV_BYTES 12

/* ---- a token that is gone, a PIN that may be locked */

CK_RV habit_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  if (!present || control_globals().removed == 0) return real->C_GetSlotList(present, slots, count);
  CK_RV rv = real->C_GetSlotList(present, NULL, count);
  if (rv == CKR_OK) *count = 0;
  return rv;
}

CK_RV habit_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info) {
  CK_RV rv = real->C_GetSlotInfo(slot, info);
  if (rv == CKR_OK && control_globals().removed != 0) info->flags &= ~CKF_TOKEN_PRESENT;
  return rv;
}

CK_RV habit_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV rv = real->C_GetTokenInfo(slot, info);
  Globals now = control_globals();
  unsigned long max = now.lockpin;
  if (rv == CKR_OK) info->flags |= now.tokenflags;
  if (rv != CKR_OK || max == 0) return rv;
  unsigned long failures = state_pin_failures();
  info->flags &= ~(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
  if (failures > 0) info->flags |= CKF_USER_PIN_COUNT_LOW;
  if (failures + 1 == max) info->flags |= CKF_USER_PIN_FINAL_TRY;
  if (failures >= max) info->flags |= CKF_USER_PIN_LOCKED;
  return rv;
}

/* ---- mechanisms that are not supported */

static bool is_missing(CK_MECHANISM_TYPE type) {
  Globals now = control_globals();
  for (unsigned i = 0; i < now.nomechs; i++) {
    if (now.nomech[i] == type) return true;
  }
  return false;
}

CK_RV habit_mechanism(const CK_MECHANISM *mechanism) {
  return mechanism != NULL && is_missing(mechanism->mechanism) ? CKR_MECHANISM_INVALID : CKR_OK;
}

CK_RV habit_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  CK_RV rv = real->C_GetMechanismInfo(slot, type, info);
  return rv == CKR_OK && is_missing(type) ? CKR_MECHANISM_INVALID : rv;
}

CK_RV habit_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count) {
  if (count == NULL || control_globals().nomechs == 0) return real->C_GetMechanismList(slot, list, count);
  CK_ULONG all_count = 0, left = 0, room = *count;
  CK_RV rv = real->C_GetMechanismList(slot, NULL, &all_count);
  if (rv != CKR_OK) return rv;
  CK_MECHANISM_TYPE *all = calloc(all_count + 1, sizeof *all);
  if (all == NULL) return CKR_HOST_MEMORY;
  rv = real->C_GetMechanismList(slot, all, &all_count);
  for (CK_ULONG i = 0; rv == CKR_OK && i < all_count; i++) {
    if (!is_missing(all[i])) all[left++] = all[i];
  }
  if (rv == CKR_OK) {
    *count = left;
    if (list != NULL && left > room) rv = CKR_BUFFER_TOO_SMALL;
    else if (list != NULL) memcpy(list, all, left * sizeof *all);
  }
  free(all);
  return rv;
}

/* ---- AES-GCM with an IV of the HSM's own; in one part only */

CK_RV habit_encrypt_init(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  Globals now = control_globals();
  Session *session = state_session(handle);
  if (session != NULL) session->iv_bytes = 0;
  bool is_ours = session != NULL && mechanism != NULL && mechanism->mechanism == CKM_AES_GCM;
  if (!is_ours || (now.lunaiv == 0 && now.cloudhsmiv == 0)) return real->C_EncryptInit(handle, mechanism, key);

  if (mechanism->pParameter == NULL || mechanism->ulParameterLen != sizeof session->gcm) {
    return CKR_MECHANISM_PARAM_INVALID;
  }
  /* The real module may look at these until the operation ends, so they live with the session. */
  session->gcm = *(CK_GCM_PARAMS *)mechanism->pParameter;
  session->callers_iv = now.lunaiv != 0 ? NULL : session->gcm.pIv;
  CK_ULONG bytes = now.lunaiv != 0 ? LUNA_IV_BYTES : CLOUDHSM_IV_BYTES;
  if (now.lunaiv == 0 && (session->gcm.pIv == NULL || session->gcm.ulIvLen < bytes)) {
    return CKR_MECHANISM_PARAM_INVALID;
  }
  if (getentropy(session->iv, bytes) != 0) return CKR_FUNCTION_FAILED;
  session->gcm.pIv = session->iv;
  session->gcm.ulIvLen = bytes;
  session->gcm.ulIvBits = bytes * 8;
  CK_MECHANISM own = {CKM_AES_GCM, &session->gcm, sizeof session->gcm};
  CK_RV rv = real->C_EncryptInit(handle, &own, key);
  if (rv == CKR_OK) session->iv_bytes = bytes;
  return rv;
}

CK_RV habit_encrypt(CK_SESSION_HANDLE handle, CK_BYTE_PTR in, CK_ULONG bytes, CK_BYTE_PTR out, CK_ULONG_PTR len) {
  Session *session = state_session(handle);
  CK_ULONG iv_bytes = session == NULL ? 0 : session->iv_bytes;
  if (iv_bytes == 0 || len == NULL) return real->C_Encrypt(handle, in, bytes, out, len);
  if (session->callers_iv != NULL) {
    CK_RV rv = real->C_Encrypt(handle, in, bytes, out, len);
    if (rv == CKR_OK && out != NULL) memcpy(session->callers_iv, session->iv, iv_bytes);
    return rv;
  }
  /* The IV follows the tag, so the real module gets less room. */
  bool is_too_small = out != NULL && *len < iv_bytes;
  if (out != NULL && !is_too_small) *len -= iv_bytes;
  CK_RV rv = real->C_Encrypt(handle, in, bytes, is_too_small ? NULL : out, len);
  if (rv == CKR_OK && out != NULL && !is_too_small) memcpy(out + *len, session->iv, iv_bytes);
  if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL) *len += iv_bytes;
  return rv == CKR_OK && is_too_small ? CKR_BUFFER_TOO_SMALL : rv;
}
