/*
 * What does the control file say? It is looked at before every call, so that a running process can be broken and
 * healed. Write it under another name and rename it, or half of it is read.
 *
 * A line that begins with a function, or the beginning of some and *, is a rule:
 *   C_Encrypt delay=200 jitter=50       answers 200 to 250 ms late
 *   C_Decrypt rv=0x32 after=3 times=2   answers this on the 4th and 5th call
 *   C_Encrypt* rv=0x5 prob=0.1          or every=N, every N-th call
 *   C_Encrypt rv=0x30 post              the same, but does the work
 *   C_Encrypt flip                      one bit of the output is wrong
 *   * hang                              until this line goes away; then the call goes on
 *   * stuck                             for ever
 *   C_WrapKey abort                     the process ends; segv: by a bad access
 *   C_FindObjects logout times=1        logs out, or closeall: closes all sessions, just before the call
 * Several words may stand in one rule. Of the rules for a function the first that fires counts; one that its after,
 * times, every or prob holds back leaves the call to the next. Counters are those of one process, and begin anew at
 * every change of the file.
 *
 * All other lines say how things are:
 *   generation=N    when it rises: all sessions are closed, as by a device that has restarted
 *   logout=N        when it rises: logged out, and the handles of objects are dead until they are found again
 *   removed=1       the token is gone; it comes back without sessions
 *   needinit=N      when it rises: CKR_DEVICE_ERROR until C_Finalize, as from p11-kit whose server has restarted
 *   serialize=1     one call at a time
 *   maxsessions=N   CKR_SESSION_COUNT
 *   lockpin=N       N wrong user PINs in a row lock it
 *   tokenflags=N    these flags of CK_TOKEN_INFO are set beside its own, such as 0x400000, CKF_SO_PIN_LOCKED
 *   lunaiv=1        AES-GCM with an IV of its own, 16 bytes behind the tag, as a Luna in FIPS mode
 *   cloudhsmiv=1    AES-GCM with an IV of its own, 12 bytes in the caller's buffer, as AWS CloudHSM
 *   nomech=A,B      these mechanisms are not supported
 * Numbers are those of C. A change that no call sees has not happened; a process begins with what it reads first.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "fault_module.h"

#define MAX_RULES 64

/* Held while the file is read and while things happen by that, which waits for calls in the real module to end. */
static pthread_mutex_t refreshing = PTHREAD_MUTEX_INITIALIZER;
static struct stat seen;
static bool was_read;

/* Guards the rest; never held while something waits, since calls in the real module ask too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Globals globals;
static Rule rules[MAX_RULES];
static unsigned rule_count;

/* A line that does nothing would make a test pass that tests nothing. */
static void refuse(const char *word) {
  fprintf(stderr, "fault module: what is \"%s\" in the control file?\n", word);
  abort();
}

/* The number behind NAME=. */
static bool number(const char *word, const char *name, unsigned long *value) {
  size_t length = strlen(name);
  char *end;
  if (strncmp(word, name, length) != 0 || word[length] != '=') return false;
  *value = strtoul(word + length + 1, &end, 0);
  if (end == word + length + 1 || *end != '\0') refuse(word);
  return true;
}

static void read_global(const char *word) {
  const struct { const char *name; unsigned long *value; } known[] = {
      {"generation", &globals.generation},   {"logout", &globals.logout},   {"removed", &globals.removed},
      {"needinit", &globals.needinit},       {"lockpin", &globals.lockpin}, {"serialize", &globals.serialize},
      {"maxsessions", &globals.maxsessions}, {"lunaiv", &globals.lunaiv},   {"cloudhsmiv", &globals.cloudhsmiv},
      {"tokenflags", &globals.tokenflags},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (number(word, known[i].name, known[i].value)) return;
  }
  if (strncmp(word, "nomech=", 7) != 0) refuse(word);
  for (const char *at = word + 7; *at != '\0';) {
    char *end;
    if (globals.nomechs == MAX_NOMECH) refuse(word);
    globals.nomech[globals.nomechs++] = strtoul(at, &end, 0);
    if (end == at || (*end != ',' && *end != '\0')) refuse(word);
    at = *end == ',' ? end + 1 : end;
  }
}

static void read_word(Rule *rule, const char *word) {
  if (number(word, "delay", &rule->delay_ms) || number(word, "jitter", &rule->jitter_ms)) return;
  if (number(word, "after", &rule->after) || number(word, "times", &rule->times)) return;
  if (number(word, "every", &rule->every) || number(word, "rv", &rule->rv)) return;
  char *end = NULL;
  if (strncmp(word, "prob=", 5) == 0) rule->prob = strtod(word + 5, &end);
  else if (strcmp(word, "post") == 0) rule->post = true;
  else if (strcmp(word, "flip") == 0) rule->flip = true;
  else if (strcmp(word, "logout") == 0) rule->logout = true;
  else if (strcmp(word, "closeall") == 0) rule->closeall = true;
  else if (strcmp(word, "hang") == 0) rule->fate = HANG;
  else if (strcmp(word, "stuck") == 0) rule->fate = STUCK;
  else if (strcmp(word, "abort") == 0) rule->fate = ABORT;
  else if (strcmp(word, "segv") == 0) rule->fate = SEGV;
  else refuse(word);
  if (end != NULL && (end == word + 5 || *end != '\0')) refuse(word);
}

static void read_line(char *line) {
  line[strcspn(line, "\n")] = '\0';
  char text[sizeof rules->text], *rest = NULL;
  if (snprintf(text, sizeof text, "%s", line) >= (int)sizeof text) refuse(line);
  char *word = strtok_r(line, " ", &rest);
  if (word == NULL) return;
  if (strncmp(word, "C_", 2) != 0 && strcmp(word, "*") != 0) {
    for (; word != NULL; word = strtok_r(NULL, " ", &rest)) read_global(word);
    return;
  }
  if (rule_count == MAX_RULES || strlen(word) >= sizeof rules->function) refuse(word);
  Rule *rule = &rules[rule_count++];
  *rule = (Rule){.prob = 1};
  strcpy(rule->text, text);
  strcpy(rule->function, word);
  char *star = strchr(rule->function, '*');
  rule->is_prefix = star != NULL;
  if (star != NULL) *star = '\0';
  while ((word = strtok_r(NULL, " ", &rest)) != NULL) read_word(rule, word);
  if (rule->post && rule->rv == CKR_OK) refuse(text);
}

static void read_file(const char *path) {
  char line[512];
  globals = (Globals){0};
  rule_count = 0;
  FILE *file = fopen(path, "re");
  if (file == NULL) return;
  while (fgets(line, sizeof line, file) != NULL) read_line(line);
  fclose(file);
}

static void happen(const Globals *before, const Globals *after) {
  if (after->logout > before->logout) state_logged_out();
  if (after->generation > before->generation || after->removed > before->removed) state_sessions_closed();
  if (after->needinit > before->needinit) state_broken();
}

/* Every call waits here for what happens: none is served by a token to which it is still to happen. */
void control_refresh(void) {
  char path[PATH_MAX];
  struct stat now = {0};
  path_of(path, ".control");
  pthread_mutex_lock(&refreshing);
  (void)stat(path, &now);
  bool is_same = now.st_ino == seen.st_ino && now.st_size == seen.st_size &&
                 now.st_mtim.tv_sec == seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec;
  if (!was_read || !is_same) {
    pthread_mutex_lock(&lock);
    Globals before = globals;
    read_file(path);
    Globals after = globals;
    pthread_mutex_unlock(&lock);
    seen = now;
    if (was_read) happen(&before, &after);
    was_read = true;
  }
  pthread_mutex_unlock(&refreshing);
}

Globals control_globals(void) {
  pthread_mutex_lock(&lock);
  Globals copy = globals;
  pthread_mutex_unlock(&lock);
  return copy;
}

static bool chance(double prob) {
  unsigned dice;
  return prob >= 1 || (getentropy(&dice, sizeof dice) == 0 && dice < prob * UINT_MAX);
}

static bool fires(Rule *rule, const char *function) {
  bool is_for_it = rule->is_prefix ? strncmp(function, rule->function, strlen(rule->function)) == 0
                                   : strcmp(function, rule->function) == 0;
  if (!is_for_it || ++rule->seen <= rule->after) return false;
  if (rule->every != 0 && (rule->seen - rule->after) % rule->every != 0) return false;
  if (rule->times != 0 && rule->fired >= rule->times) return false;
  return chance(rule->prob);
}

bool control_pick(const char *function, Rule *picked) {
  bool is_found = false;
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < rule_count && !is_found; i++) {
    if (!fires(&rules[i], function)) continue;
    rules[i].fired++;
    *picked = rules[i];
    is_found = true;
  }
  pthread_mutex_unlock(&lock);
  return is_found;
}

bool control_stands(const Rule *rule) {
  bool stands = false;
  control_refresh();
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < rule_count && !stands; i++) stands = strcmp(rules[i].text, rule->text) == 0;
  pthread_mutex_unlock(&lock);
  return stands;
}
