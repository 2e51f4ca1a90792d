/*
 * The functions of the module: what a rule does to a call, the call log, and the table of all functions.
 *
 * A line of the log, its words parted by one blank; never data, never a PIN:
 *   begin     microseconds, CLOCK_MONOTONIC
 *   duration  microseconds
 *   process   its id
 *   thread    a number of our own, from 1
 *   function
 *   session   0 when it takes none
 *   answer    hexadecimal; or the word of a rule by which the call may never answer, written before the rule acts
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "fault_module.h"

CK_FUNCTION_LIST_PTR real;

static char self[PATH_MAX];
static CK_FUNCTION_LIST ours;
static int log_fd;
/* Of a token that serves one call at a time. */
static pthread_mutex_t lane = PTHREAD_MUTEX_INITIALIZER;

typedef struct {
  const char *function;
  CK_SESSION_HANDLE session;
  unsigned long began_us;
  bool in_lane, in_real;
  Rule rule;
} Call;

void path_of(char path[PATH_MAX], const char *suffix) {
  if (snprintf(path, PATH_MAX, "%s%s", self, suffix) >= PATH_MAX) abort();
}

/* ---- the log */

static unsigned long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
}

static unsigned thread_number(void) {
  static atomic_uint last;
  static _Thread_local unsigned mine;
  if (mine == 0) mine = ++last;
  return mine;
}

static void write_log(const Call *call, const char *answer) {
  char line[256];
  int bytes = snprintf(line, sizeof line, "%lu %lu %ld %u %s %lu %s\n", call->began_us,
                       now_us() - call->began_us, (long)getpid(), thread_number(), call->function,
                       call->session, answer);
  /* One write of an appended line: those of other threads and processes do not mix with it. */
  if (write(log_fd, line, (size_t)bytes) != bytes) abort();
}

/* ---- a call */

static void sleep_ms(unsigned long ms) {
  struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static unsigned long random_below(unsigned long limit) {
  unsigned long dice = 0;
  if (getentropy(&dice, sizeof dice) != 0) abort();
  return dice % limit;
}

static CK_RV suffer(const Call *call) {
  const Rule *rule = &call->rule;
  if (rule->delay_ms + rule->jitter_ms > 0) sleep_ms(rule->delay_ms + random_below(rule->jitter_ms + 1));
  switch (rule->fate) {
  case GO_ON:
    break;
  case HANG:
    write_log(call, "hang");
    while (control_stands(rule)) sleep_ms(2);
    break;
  case STUCK:
    write_log(call, "stuck");
    for (;;) pause();
  case ABORT:
    write_log(call, "abort");
    abort();
  case SEGV: {
    write_log(call, "segv");
    int *volatile nowhere = NULL;
    *(volatile int *)nowhere = 0;
  }
  }
  if (rule->logout) state_logged_out();
  if (rule->closeall) state_sessions_closed();
  return rule->post ? CKR_OK : rule->rv;
}

/* CKR_OK: the real module is to be called. Whatever it is, `leave` must follow. */
static CK_RV enter(Call *call, const char *function, CK_SESSION_HANDLE session, unsigned needs) {
  *call = (Call){.function = function, .session = session, .began_us = now_us()};
  control_refresh();
  call->in_lane = control_globals().serialize != 0;
  if (call->in_lane) pthread_mutex_lock(&lane);
  CK_RV rv = control_pick(function, &call->rule) ? suffer(call) : CKR_OK;
  if (rv != CKR_OK) return rv;
  /* The call may have waited for long. */
  control_refresh();
  rv = state_enter(function, session, needs);
  call->in_real = rv == CKR_OK;
  return rv;
}

static CK_RV leave(Call *call, CK_RV rv) {
  char answer[24];
  if (call->in_real) state_leave();
  if (call->in_real && call->rule.post) rv = call->rule.rv;
  if (call->in_lane) pthread_mutex_unlock(&lane);
  snprintf(answer, sizeof answer, "0x%lx", rv);
  write_log(call, answer);
  return rv;
}

static void flip(const Call *call, CK_RV rv, CK_BYTE_PTR out, const CK_ULONG *bytes) {
  if (call->rule.flip && rv == CKR_OK && out != NULL && *bytes > 0) out[*bytes / 2] ^= 1;
}

/* ---- the functions */

/*
 * `check` may refuse the call, but a session that is not open is for the real module to refuse. `work` calls it, and
 * `then` looks at `rv`, what it has answered.
 */
#define FUNCTION(name, needs, session, parameters, check, work, then) \
  static CK_RV my_##name parameters { \
    Call call; \
    CK_RV rv = enter(&call, #name, session, needs); \
    if (rv == CKR_OK && state_session(session) != NULL) rv = check; \
    if (rv == CKR_OK) { \
      rv = work; \
      then; \
    } \
    return leave(&call, rv); \
  }

/* One that needs no look at its arguments or results. */
#define PLAIN(name, needs, session, parameters, arguments) \
  FUNCTION(name, needs, session, parameters, CKR_OK, real->name arguments, )

/* One that writes bytes to `out`. */
#define GIVES(name, parameters, arguments) \
  FUNCTION(name, LOGIN, s, parameters, CKR_OK, real->name arguments, flip(&call, rv, out, len))

/* One that begins an operation by mechanism `m`, with key `k`. */
#define BEGINS(name, work) FUNCTION(name, LOGIN, s, (SESSION, MECH, KEY), usable(m, k), work, )

static CK_RV usable(const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
  CK_RV rv = habit_mechanism(mechanism);
  return rv == CKR_OK ? state_alive(key, CKR_KEY_HANDLE_INVALID) : rv;
}

static CK_RV both_alive(CK_OBJECT_HANDLE a, CK_OBJECT_HANDLE b) {
  CK_RV rv = state_alive(a, CKR_KEY_HANDLE_INVALID);
  return rv == CKR_OK ? state_alive(b, CKR_KEY_HANDLE_INVALID) : rv;
}

#define SESSION CK_SESSION_HANDLE s
#define SLOT CK_SLOT_ID slot
#define MECH CK_MECHANISM_PTR m
#define KEY CK_OBJECT_HANDLE k
#define OBJECT CK_OBJECT_HANDLE o
#define TEMPLATE CK_ATTRIBUTE_PTR t, CK_ULONG n
#define IN CK_BYTE_PTR in, CK_ULONG bytes
#define OUT CK_BYTE_PTR out, CK_ULONG_PTR len
#define PIN(p, n) CK_UTF8CHAR_PTR p, CK_ULONG n
#define FOUND CK_OBJECT_HANDLE_PTR h

PLAIN(C_Initialize, NOTHING, 0, (CK_VOID_PTR a), (a))
FUNCTION(C_Finalize, NOTHING, 0, (CK_VOID_PTR a), CKR_OK, state_finalize(a), )
PLAIN(C_GetInfo, NOTHING, 0, (CK_INFO_PTR i), (i))

FUNCTION(C_GetSlotList, NOTHING, 0, (CK_BBOOL p, CK_SLOT_ID_PTR l, CK_ULONG_PTR n), CKR_OK,
         habit_slot_list(p, l, n), )
FUNCTION(C_GetSlotInfo, NOTHING, 0, (SLOT, CK_SLOT_INFO_PTR i), CKR_OK, habit_slot_info(slot, i), )
FUNCTION(C_GetTokenInfo, TOKEN, 0, (SLOT, CK_TOKEN_INFO_PTR i), CKR_OK, habit_token_info(slot, i), )
FUNCTION(C_GetMechanismList, TOKEN, 0, (SLOT, CK_MECHANISM_TYPE_PTR l, CK_ULONG_PTR n), CKR_OK,
         habit_mechanism_list(slot, l, n), )
FUNCTION(C_GetMechanismInfo, TOKEN, 0, (SLOT, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR i), CKR_OK,
         habit_mechanism_info(slot, m, i), )
PLAIN(C_InitToken, TOKEN, 0, (SLOT, PIN(p, n), CK_UTF8CHAR_PTR l), (slot, p, n, l))
PLAIN(C_InitPIN, NOTHING, s, (SESSION, PIN(p, n)), (s, p, n))
PLAIN(C_SetPIN, NOTHING, s, (SESSION, PIN(p, n), PIN(q, m)), (s, p, n, q, m))
PLAIN(C_WaitForSlotEvent, NOTHING, 0, (CK_FLAGS f, CK_SLOT_ID_PTR l, CK_VOID_PTR a), (f, l, a))

FUNCTION(C_OpenSession, TOKEN, 0, (SLOT, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY c, CK_SESSION_HANDLE_PTR h),
         CKR_OK, state_open(slot, f, a, c, h), )
FUNCTION(C_CloseSession, NOTHING, s, (SESSION), CKR_OK, state_close(s), )
FUNCTION(C_CloseAllSessions, TOKEN, 0, (SLOT), CKR_OK, state_close_all(slot), )
PLAIN(C_GetSessionInfo, NOTHING, s, (SESSION, CK_SESSION_INFO_PTR i), (s, i))
PLAIN(C_GetOperationState, LOGIN, s, (SESSION, OUT), (s, out, len))
PLAIN(C_SetOperationState, LOGIN, s, (SESSION, IN, KEY, OBJECT), (s, in, bytes, k, o))
FUNCTION(C_Login, NOTHING, s, (SESSION, CK_USER_TYPE u, PIN(p, n)), CKR_OK, state_login(s, u, p, n), )
FUNCTION(C_Logout, NOTHING, s, (SESSION), CKR_OK, state_logout(s), )

FUNCTION(C_CreateObject, LOGIN, s, (SESSION, TEMPLATE, FOUND), CKR_OK, real->C_CreateObject(s, t, n, h),
         state_learn(rv, h, NULL))
FUNCTION(C_CopyObject, LOGIN, s, (SESSION, OBJECT, TEMPLATE, FOUND), state_alive(o, CKR_OBJECT_HANDLE_INVALID),
         real->C_CopyObject(s, o, t, n, h), state_learn(rv, h, NULL))
FUNCTION(C_DestroyObject, LOGIN, s, (SESSION, OBJECT), state_alive(o, CKR_OBJECT_HANDLE_INVALID),
         real->C_DestroyObject(s, o), )
FUNCTION(C_GetObjectSize, LOGIN, s, (SESSION, OBJECT, CK_ULONG_PTR n), state_alive(o, CKR_OBJECT_HANDLE_INVALID),
         real->C_GetObjectSize(s, o, n), )
FUNCTION(C_GetAttributeValue, LOGIN, s, (SESSION, OBJECT, TEMPLATE), state_alive(o, CKR_OBJECT_HANDLE_INVALID),
         real->C_GetAttributeValue(s, o, t, n), )
FUNCTION(C_SetAttributeValue, LOGIN, s, (SESSION, OBJECT, TEMPLATE), state_alive(o, CKR_OBJECT_HANDLE_INVALID),
         real->C_SetAttributeValue(s, o, t, n), )
/* Whoever is not logged in may search, and finds no private object. */
PLAIN(C_FindObjectsInit, NOTHING, s, (SESSION, TEMPLATE), (s, t, n))
FUNCTION(C_FindObjects, NOTHING, s, (SESSION, FOUND, CK_ULONG max, CK_ULONG_PTR n), CKR_OK,
         real->C_FindObjects(s, h, max, n), state_learn(rv, h, n))
PLAIN(C_FindObjectsFinal, NOTHING, s, (SESSION), (s))

BEGINS(C_EncryptInit, habit_encrypt_init(s, m, k))
FUNCTION(C_Encrypt, LOGIN, s, (SESSION, IN, OUT), CKR_OK, habit_encrypt(s, in, bytes, out, len),
         flip(&call, rv, out, len))
GIVES(C_EncryptUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_EncryptFinal, (SESSION, OUT), (s, out, len))
BEGINS(C_DecryptInit, real->C_DecryptInit(s, m, k))
GIVES(C_Decrypt, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_DecryptUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_DecryptFinal, (SESSION, OUT), (s, out, len))

FUNCTION(C_DigestInit, NOTHING, s, (SESSION, MECH), habit_mechanism(m), real->C_DigestInit(s, m), )
FUNCTION(C_Digest, NOTHING, s, (SESSION, IN, OUT), CKR_OK, real->C_Digest(s, in, bytes, out, len),
         flip(&call, rv, out, len))
PLAIN(C_DigestUpdate, NOTHING, s, (SESSION, IN), (s, in, bytes))
FUNCTION(C_DigestKey, LOGIN, s, (SESSION, KEY), state_alive(k, CKR_KEY_HANDLE_INVALID), real->C_DigestKey(s, k), )
FUNCTION(C_DigestFinal, NOTHING, s, (SESSION, OUT), CKR_OK, real->C_DigestFinal(s, out, len),
         flip(&call, rv, out, len))

BEGINS(C_SignInit, real->C_SignInit(s, m, k))
GIVES(C_Sign, (SESSION, IN, OUT), (s, in, bytes, out, len))
PLAIN(C_SignUpdate, LOGIN, s, (SESSION, IN), (s, in, bytes))
GIVES(C_SignFinal, (SESSION, OUT), (s, out, len))
BEGINS(C_SignRecoverInit, real->C_SignRecoverInit(s, m, k))
GIVES(C_SignRecover, (SESSION, IN, OUT), (s, in, bytes, out, len))
BEGINS(C_VerifyInit, real->C_VerifyInit(s, m, k))
PLAIN(C_Verify, LOGIN, s, (SESSION, IN, CK_BYTE_PTR g, CK_ULONG n), (s, in, bytes, g, n))
PLAIN(C_VerifyUpdate, LOGIN, s, (SESSION, IN), (s, in, bytes))
PLAIN(C_VerifyFinal, LOGIN, s, (SESSION, CK_BYTE_PTR g, CK_ULONG n), (s, g, n))
BEGINS(C_VerifyRecoverInit, real->C_VerifyRecoverInit(s, m, k))
GIVES(C_VerifyRecover, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_DigestEncryptUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_DecryptDigestUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_SignEncryptUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))
GIVES(C_DecryptVerifyUpdate, (SESSION, IN, OUT), (s, in, bytes, out, len))

FUNCTION(C_GenerateKey, LOGIN, s, (SESSION, MECH, TEMPLATE, FOUND), habit_mechanism(m),
         real->C_GenerateKey(s, m, t, n, h), state_learn(rv, h, NULL))
FUNCTION(C_GenerateKeyPair, LOGIN, s,
         (SESSION, MECH, TEMPLATE, CK_ATTRIBUTE_PTR u, CK_ULONG v, FOUND, CK_OBJECT_HANDLE_PTR h2),
         habit_mechanism(m), real->C_GenerateKeyPair(s, m, t, n, u, v, h, h2),
         (state_learn(rv, h, NULL), state_learn(rv, h2, NULL)))
FUNCTION(C_WrapKey, LOGIN, s, (SESSION, MECH, KEY, OBJECT, OUT),
         habit_mechanism(m) == CKR_OK ? both_alive(k, o) : CKR_MECHANISM_INVALID,
         real->C_WrapKey(s, m, k, o, out, len), flip(&call, rv, out, len))
FUNCTION(C_UnwrapKey, LOGIN, s, (SESSION, MECH, KEY, IN, TEMPLATE, FOUND), usable(m, k),
         real->C_UnwrapKey(s, m, k, in, bytes, t, n, h), state_learn(rv, h, NULL))
FUNCTION(C_DeriveKey, LOGIN, s, (SESSION, MECH, KEY, TEMPLATE, FOUND), usable(m, k),
         real->C_DeriveKey(s, m, k, t, n, h), state_learn(rv, h, NULL))
PLAIN(C_SeedRandom, NOTHING, s, (SESSION, IN), (s, in, bytes))
FUNCTION(C_GenerateRandom, NOTHING, s, (SESSION, CK_BYTE_PTR out, CK_ULONG bytes), CKR_OK,
         real->C_GenerateRandom(s, out, bytes), flip(&call, rv, out, &bytes))
PLAIN(C_GetFunctionStatus, NOTHING, s, (SESSION), (s))
PLAIN(C_CancelFunction, NOTHING, s, (SESSION), (s))

/* ---- loading */

/* At the first load only: the threads of a process all come here, and perhaps at the same time. */
static void load(void) {
  char path[PATH_MAX];
  Dl_info info;
  if (dladdr(&ours, &info) == 0 || realpath(info.dli_fname, self) == NULL) return;
  path_of(path, ".log");
  log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  path_of(path, ".conf");
  FILE *file = fopen(path, "re");
  if (file == NULL || log_fd < 0) return;
  char *line = fgets(path, sizeof path, file);
  fclose(file);
  if (line == NULL) return;
  line[strcspn(line, "\n")] = '\0';
  void *library = dlopen(line, RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = NULL;
  /* The cast that POSIX gives for functions. */
  if (library != NULL) *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != CKR_OK) {
    real = NULL;
    return;
  }
  ours.version = real->version;
#define my_C_GetFunctionList C_GetFunctionList
#define CK_PKCS11_FUNCTION_INFO(name) ours.name = my_##name;
#include "pkcs11/pkcs11f.h"
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (list == NULL) return CKR_ARGUMENTS_BAD;
  if (real == NULL) {
    fprintf(stderr, "fault module: %s.conf names no PKCS#11 module, or the log cannot be written\n", self);
    return CKR_GENERAL_ERROR;
  }
  *list = &ours;
  return CKR_OK;
}
