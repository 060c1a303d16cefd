/*
 * What the C programs share. A program that comes to its end has passed; a check that fails, and an
 * alarm, end it otherwise. What it prints is compared between the libraries, so nothing is printed
 * that may differ from run to run. No wait has a limit but the alarm: a machine may be slow.
 */

#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libdlm.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#ifdef THREADED
#define IS_LIGHT 0
#else
#define IS_LIGHT 1
#endif

/* The lockspace of this program. */
static dlm_lshandle_t space;

static inline const char *status_name(int status)
{
	static char text[16];

	switch (status) {
	case 0: return "granted";
	case EAGAIN: return "EAGAIN";
	case EDEADLK: return "EDEADLK";
	case ETIMEDOUT: return "ETIMEDOUT";
	case ECANCEL: return "ECANCEL";
	case EUNLOCK: return "EUNLOCK";
	case EINPROG: return "EINPROG";
	}
	snprintf(text, sizeof(text), "%d", status);
	return text;
}

/*
 * Ends a program that hangs, after the seconds of CHECK_SECONDS. Without it after so many that only a
 * hang takes them, also on a machine that is ten times slower than usual.
 */
static inline void limit(void)
{
	const char *seconds = getenv("CHECK_SECONDS");

	alarm(seconds ? atoi(seconds) : 240);
}

/* Whether the lock manager is the one in the process. */
static inline int on_engine(void)
{
	const char *backend = getenv("DLM_BACKEND");

	return backend && strcmp(backend, "engine") == 0;
}

/* Says what a call returned and how its operation stands. */
static inline void say(const char *what, int returned, const struct dlm_lksb *lksb)
{
	int number = errno;

	printf("%s: %d", what, returned);
	if (returned < 0)
		printf(" %s", status_name(number));
	if (lksb)
		printf(", status %s, flags %d", status_name(lksb->sb_status), lksb->sb_flags);
	printf("\n");
	fflush(stdout);
}

/* Ends a forked child by way of this program, of which `main` returns at once if it has an argument.
 * valgrind would look for memory that only the other threads of the parent have had in hand. */
static inline void end_child(const char *program)
{
	execl(program, program, "end", NULL);
	_exit(1);
}

/* Opens a second handle to a lockspace that this program creates. */
static inline void start(const char *name)
{
	limit();
	space = dlm_create_lockspace(name, 0600);
	CHECK(space);
}

static inline void finish(const char *name)
{
	CHECK(dlm_release_lockspace(name, space, 1) == 0);
}

/* Dispatches until the count has the value. */
static inline void dispatch_until(dlm_lshandle_t ls, volatile int *count, int wanted)
{
	struct pollfd set = { .fd = dlm_ls_get_fd(ls), .events = POLLIN };

	while (*count < wanted) {
		CHECK(poll(&set, 1, -1) == 1);
		CHECK(dlm_dispatch(set.fd) == 0);
	}
}

/* Waits for what another thread does. */
static inline void await(volatile int *count, int wanted)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < wanted) {
		struct timespec moment = { .tv_nsec = 1000000 };

		nanosleep(&moment, NULL);
	}
}

/* Waits until another thread's request has its number. */
static inline void await_id(struct dlm_lksb *lksb)
{
	while (__atomic_load_n(&lksb->sb_lkid, __ATOMIC_ACQUIRE) == 0)
		usleep(1000);
}

/* Waits until a thread, of this or another process, sleeps in the kernel. */
static inline void await_sleep(pid_t thread)
{
	char path[32], text[512], *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)thread);
	do {
		FILE *file = fopen(path, "r");

		CHECK(file && fgets(text, sizeof(text), file));
		CHECK(fclose(file) == 0);
		/* Behind the name, which may hold anything. */
		state = strrchr(text, ')');
		CHECK(state);
		usleep(1000);
	} while (state[2] != 'S');
}

/* The calling thread, for await_sleep. */
static inline pid_t this_thread(void)
{
	return syscall(SYS_gettid);
}

/* An AST that counts. */
static inline void count_ast(void *counter)
{
	__atomic_fetch_add((int *)counter, 1, __ATOMIC_RELEASE);
}

/* A call that waits and must succeed, in either library. */
static inline void lock_wait(dlm_lshandle_t ls, uint32_t mode, struct dlm_lksb *lksb,
			     uint32_t flags, const char *name)
{
	CHECK(dlm_ls_lock_wait(ls, mode, lksb, flags, name, strlen(name), 0, NULL, NULL, NULL) ==
	      0);
	CHECK(lksb->sb_status == 0);
}

static inline void unlock_wait(dlm_lshandle_t ls, struct dlm_lksb *lksb)
{
	CHECK(dlm_ls_unlock_wait(ls, lksb->sb_lkid, 0, lksb) == 0);
	CHECK(lksb->sb_status == EUNLOCK);
}

/* The thread of the pthread build, which its waiting calls need in the original. */
static inline void start_thread(dlm_lshandle_t ls)
{
#ifdef THREADED
	CHECK(dlm_ls_pthread_init(ls) == 0);
#else
	(void)ls;
#endif
}

#endif
