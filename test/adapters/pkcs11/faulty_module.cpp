// SoftHSM that fails on demand. REAL is its path, FAULTS a folder: a file there that is named like a function holds
// what the next calls of it do:
//   hang      wait until the file is gone
//   crash     end the process by a bad access
//   logout    log out, once, and go on
//   closeall  close all sessions, once, and go on
//   0x30      answer this value and do nothing
//   0x30!     the same, once
// Prints each fault on stdout.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pkcs11/pkcs11.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST ours;

static bool look(const char *function, char *fault) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", FAULTS, function);
  FILE *file = fopen(path, "r");
  if (file == NULL) return false;
  bool found = fscanf(file, "%15s", fault) == 1;
  fclose(file);
  if (found && (!strcmp(fault, "logout") || !strcmp(fault, "closeall") || strchr(fault, '!'))) unlink(path);
  return found;
}

static CK_RV fail(const char *function, CK_SESSION_HANDLE session) {
  char fault[16];
  if (!look(function, fault)) return CKR_OK;
  printf("%s %s\n", function, fault);
  fflush(stdout);
  if (!strcmp(fault, "crash")) raise(SIGSEGV);
  if (!strcmp(fault, "hang")) {
    while (look(function, fault)) usleep(5000);
    return CKR_OK;
  }
  if (!strcmp(fault, "logout")) {
    real->C_Logout(session);
    return CKR_OK;
  }
  if (!strcmp(fault, "closeall")) {
    CK_SESSION_INFO info;
    real->C_GetSessionInfo(session, &info);
    real->C_CloseAllSessions(info.slotID);
    return CKR_OK;
  }
  return strtoul(fault, NULL, 16);
}

#define FAILABLE(name, parameters, session, arguments) \
  static CK_RV my_##name parameters { \
    CK_RV rv = fail(#name, session); \
    return rv == CKR_OK ? real->name arguments : rv; \
  }

FAILABLE(C_Initialize, (CK_VOID_PTR a), 0, (a))
FAILABLE(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG n), s, (s, u, p, n))
FAILABLE(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), s, (s, t, n))
FAILABLE(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), s, (s, m, k))
FAILABLE(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), s, (s, m, k))
FAILABLE(C_Decrypt, (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR m), s,
         (s, in, n, out, m))

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  void *library = dlopen(REAL, RTLD_NOW);
  CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  get(&real);
  // The threads of one process all come here and write the same.
  ours = *real;
  ours.C_Initialize = my_C_Initialize;
  ours.C_Login = my_C_Login;
  ours.C_FindObjectsInit = my_C_FindObjectsInit;
  ours.C_EncryptInit = my_C_EncryptInit;
  ours.C_DecryptInit = my_C_DecryptInit;
  ours.C_Decrypt = my_C_Decrypt;
  *list = &ours;
  return CKR_OK;
}
