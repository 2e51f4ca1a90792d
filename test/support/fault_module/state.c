/*
 * Which sessions, logins and handles still live? What a fault ends is ended in the real module too, where it can:
 * its answers then need no acting. What it would keep alive (NSS keeps handles over a logout) is refused here.
 *
 * Locks, in the order in which they are taken: `refreshing` of control.c, `in_real`, `opening`, the two called `lock`.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "fault_module.h"

/* Read by every call that is in the real module, written by what happens to the token. */
static pthread_rwlock_t in_real = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static Session *sessions;
static bool is_logged_in;
/* Somebody was logged in, a fault ended that, and nobody has logged in since. */
static bool is_login_void;
static bool is_broken;

/* Rises when object handles die. */
static unsigned long era;
static struct Object { CK_OBJECT_HANDLE handle; unsigned long era; } *objects;
static size_t object_count, object_room;

Session *state_session(CK_SESSION_HANDLE handle) {
  pthread_mutex_lock(&lock);
  Session *found = sessions;
  while (found != NULL && found->handle != handle) found = found->next;
  pthread_mutex_unlock(&lock);
  return found;
}

CK_RV state_enter(const char *function, CK_SESSION_HANDLE session, unsigned needs) {
  bool is_removed = control_globals().removed != 0;
  bool is_open = session != CK_INVALID_HANDLE && state_session(session) != NULL;
  pthread_mutex_lock(&lock);
  bool broken = is_broken, login_void = is_login_void;
  pthread_mutex_unlock(&lock);
  if (broken && strcmp(function, "C_Finalize") != 0 && strcmp(function, "C_Initialize") != 0) {
    return CKR_DEVICE_ERROR;
  }
  if (is_removed && session != CK_INVALID_HANDLE) return CKR_DEVICE_REMOVED;
  if (is_removed && (needs & TOKEN) != 0) return CKR_TOKEN_NOT_PRESENT;
  if (login_void && is_open && (needs & LOGIN) != 0) return CKR_USER_NOT_LOGGED_IN;
  pthread_rwlock_rdlock(&in_real);
  return CKR_OK;
}

void state_leave(void) { pthread_rwlock_unlock(&in_real); }

/* ---- what happens to a token */

static void void_logins(void) {
  pthread_mutex_lock(&lock);
  is_login_void = is_login_void || is_logged_in;
  is_logged_in = false;
  era++;
  pthread_mutex_unlock(&lock);
}

void state_logged_out(void) {
  pthread_rwlock_wrlock(&in_real);
  /* The second session of a slot is told that nobody is logged in. */
  for (Session *each = sessions; each != NULL; each = each->next) real->C_Logout(each->handle);
  void_logins();
  pthread_rwlock_unlock(&in_real);
}

/* With `is_all`, or those of `slot`. */
static void forget_sessions(bool is_all, CK_SLOT_ID slot) {
  pthread_mutex_lock(&lock);
  for (Session **at = &sessions; *at != NULL;) {
    Session *each = *at;
    if (is_all || each->slot == slot) {
      *at = each->next;
      free(each);
    } else {
      at = &each->next;
    }
  }
  pthread_mutex_unlock(&lock);
}

void state_sessions_closed(void) {
  pthread_rwlock_wrlock(&in_real);
  while (sessions != NULL) {
    CK_SLOT_ID slot = sessions->slot;
    real->C_CloseAllSessions(slot);
    forget_sessions(false, slot);
  }
  void_logins();
  pthread_rwlock_unlock(&in_real);
}

void state_broken(void) {
  pthread_mutex_lock(&lock);
  is_broken = true;
  pthread_mutex_unlock(&lock);
}

/* ---- sessions */

CK_RV state_open(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR handle) {
  unsigned long max = control_globals().maxsessions, open = 0;
  CK_RV rv = CKR_SESSION_COUNT;
  pthread_mutex_lock(&opening);
  pthread_mutex_lock(&lock);
  for (Session *each = sessions; each != NULL; each = each->next) open++;
  pthread_mutex_unlock(&lock);
  if (max == 0 || open < max) rv = real->C_OpenSession(slot, flags, app, notify, handle);
  if (rv == CKR_OK) {
    Session *session = calloc(1, sizeof *session);
    if (session == NULL) abort();
    session->handle = *handle;
    session->slot = slot;
    pthread_mutex_lock(&lock);
    session->next = sessions;
    sessions = session;
    pthread_mutex_unlock(&lock);
  }
  pthread_mutex_unlock(&opening);
  return rv;
}

CK_RV state_close(CK_SESSION_HANDLE handle) {
  CK_RV rv = real->C_CloseSession(handle);
  if (rv != CKR_OK) return rv;
  pthread_mutex_lock(&lock);
  Session **at = &sessions;
  while (*at != NULL && (*at)->handle != handle) at = &(*at)->next;
  Session *gone = *at;
  if (gone != NULL) *at = gone->next;
  pthread_mutex_unlock(&lock);
  free(gone);
  return rv;
}

CK_RV state_close_all(CK_SLOT_ID slot) {
  CK_RV rv = real->C_CloseAllSessions(slot);
  if (rv == CKR_OK) forget_sessions(false, slot);
  return rv;
}

CK_RV state_finalize(CK_VOID_PTR reserved) {
  CK_RV rv = real->C_Finalize(reserved);
  if (rv != CKR_OK) return rv;
  forget_sessions(true, 0);
  pthread_mutex_lock(&lock);
  is_logged_in = is_login_void = is_broken = false;
  object_count = 0;
  pthread_mutex_unlock(&lock);
  return rv;
}

/* ---- logins */

/* The count of wrong PINs, locked against other threads and processes until it is closed. */
static int open_pins(unsigned long *failures) {
  char path[PATH_MAX], text[24] = "";
  path_of(path, ".pins");
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || flock(fd, LOCK_EX) != 0 || pread(fd, text, sizeof text - 1, 0) < 0) abort();
  *failures = strtoul(text, NULL, 10);
  return fd;
}

static void write_pins(int fd, unsigned long failures) {
  if (ftruncate(fd, 0) != 0 || dprintf(fd, "%lu\n", failures) < 0) abort();
}

unsigned long state_pin_failures(void) {
  unsigned long failures;
  close(open_pins(&failures));
  return failures;
}

static CK_RV try_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG bytes) {
  unsigned long max = control_globals().lockpin, failures;
  int fd = open_pins(&failures);
  CK_RV rv = max != 0 && failures >= max ? CKR_PIN_LOCKED : real->C_Login(session, CKU_USER, pin, bytes);
  if (rv == CKR_OK) write_pins(fd, 0);
  if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE) write_pins(fd, failures + 1);
  close(fd);
  return rv;
}

CK_RV state_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG bytes) {
  CK_RV rv = user == CKU_USER ? try_pin(session, pin, bytes) : real->C_Login(session, user, pin, bytes);
  if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN) return rv;
  pthread_mutex_lock(&lock);
  is_logged_in = true;
  is_login_void = false;
  pthread_mutex_unlock(&lock);
  return rv;
}

CK_RV state_logout(CK_SESSION_HANDLE session) {
  CK_RV rv = real->C_Logout(session);
  pthread_mutex_lock(&lock);
  if (rv == CKR_OK) is_logged_in = false;
  pthread_mutex_unlock(&lock);
  return rv;
}

/* ---- objects */

static struct Object *object(CK_OBJECT_HANDLE handle) {
  for (size_t i = 0; i < object_count; i++) {
    if (objects[i].handle == handle) return &objects[i];
  }
  return NULL;
}

static void learn(CK_OBJECT_HANDLE handle) {
  struct Object *known = object(handle);
  if (known == NULL) {
    if (object_count == object_room) {
      object_room = object_room * 2 + 64;
      objects = realloc(objects, object_room * sizeof *objects);
      if (objects == NULL) abort();
    }
    known = &objects[object_count++];
  }
  *known = (struct Object){handle, era};
}

void state_learn(CK_RV rv, const CK_OBJECT_HANDLE *handles, const CK_ULONG *count) {
  if (rv != CKR_OK || handles == NULL) return;
  pthread_mutex_lock(&lock);
  for (CK_ULONG i = 0; i < (count == NULL ? 1 : *count); i++) learn(handles[i]);
  pthread_mutex_unlock(&lock);
}

CK_RV state_alive(CK_OBJECT_HANDLE handle, CK_RV when_dead) {
  pthread_mutex_lock(&lock);
  struct Object *known = object(handle);
  bool is_dead = known != NULL && known->era != era;
  pthread_mutex_unlock(&lock);
  return is_dead ? when_dead : CKR_OK;
}
