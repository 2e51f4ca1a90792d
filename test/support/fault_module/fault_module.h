/*
 * What the parts of the fault module share. It stands before a real PKCS#11 module and fails on demand.
 *
 *   control.c   what does the control file say?
 *   state.c     which sessions, logins and handles still live?
 *   habits.c    how do other HSMs differ from the real module?
 *   module.c    the functions, and what a rule does to a call of one
 *
 * Files, all beside the .so and named after it, so that no environment variable is needed:
 *   .conf       the path of the real module; read once
 *   .control    see control.c; absent: no faults
 *   .log        one line a call, see module.c
 *   .pins       how many wrong user PINs came in a row; outlasts the process
 */
#ifndef FAULT_MODULE_H
#define FAULT_MODULE_H

#include <limits.h>
#include <stdbool.h>
#include "pkcs11/pkcs11.h"

/* ---- module.c */

extern CK_FUNCTION_LIST_PTR real;

/* The path of a file beside the .so. */
void path_of(char path[PATH_MAX], const char *suffix);

/* ---- control.c */

enum fate { GO_ON, HANG, STUCK, ABORT, SEGV };

typedef struct {
  char text[200];
  char function[48];
  bool is_prefix;
  enum fate fate;
  unsigned long delay_ms, jitter_ms, after, times, every;
  double prob;
  CK_RV rv;
  bool post, flip, logout, closeall;
  unsigned long seen, fired;
} Rule;

#define MAX_NOMECH 32

typedef struct {
  unsigned long generation, logout, removed, needinit;
  unsigned long serialize, maxsessions, lockpin, tokenflags, lunaiv, cloudhsmiv;
  CK_MECHANISM_TYPE nomech[MAX_NOMECH];
  unsigned nomechs;
} Globals;

/* Reads the file if it has changed. What happened to the token by that has happened when this returns. */
void control_refresh(void);

/* As last read. */
Globals control_globals(void);

/* The first rule that fires for this call, counted as fired. */
bool control_pick(const char *function, Rule *picked);

/* Whether a line with the text of this rule is still in the file. */
bool control_stands(const Rule *rule);

/* ---- state.c */

typedef struct Session {
  CK_SESSION_HANDLE handle;
  CK_SLOT_ID slot;
  /* Of an AES-GCM encryption whose IV we make: see habits.c. */
  CK_BYTE iv[16];
  CK_ULONG iv_bytes;
  CK_BYTE_PTR callers_iv;
  CK_GCM_PARAMS gcm;
  struct Session *next;
} Session;

/* What a function asks of the state; flags. */
enum needs { NOTHING = 0, TOKEN = 1, LOGIN = 2 };

/* CKR_OK: the call may go to the real module, and state_leave must follow. */
CK_RV state_enter(const char *function, CK_SESSION_HANDLE session, unsigned needs);
void state_leave(void);

/* Things that happen to a token. No call is in the real module meanwhile: it may not bear that. */
void state_logged_out(void);
void state_sessions_closed(void);
void state_broken(void);

/* NULL for one that is not open. */
Session *state_session(CK_SESSION_HANDLE handle);

/* Object handles: learned when the module gives them out, dead after a logout until they are given out again. */
void state_learn(CK_RV rv, const CK_OBJECT_HANDLE *handles, const CK_ULONG *count);
CK_RV state_alive(CK_OBJECT_HANDLE handle, CK_RV when_dead);

/* These call the real module and note what follows from its answer. */
CK_RV state_open(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR handle);
CK_RV state_close(CK_SESSION_HANDLE handle);
CK_RV state_close_all(CK_SLOT_ID slot);
CK_RV state_finalize(CK_VOID_PTR reserved);
CK_RV state_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG bytes);
CK_RV state_logout(CK_SESSION_HANDLE session);
unsigned long state_pin_failures(void);

/* ---- habits.c: these call the real module */

CK_RV habit_mechanism(const CK_MECHANISM *mechanism);
CK_RV habit_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count);
CK_RV habit_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info);
CK_RV habit_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info);
CK_RV habit_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count);
CK_RV habit_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info);
CK_RV habit_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
CK_RV habit_encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG bytes, CK_BYTE_PTR out, CK_ULONG_PTR len);

#endif
