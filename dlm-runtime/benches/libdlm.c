/*
 * The work of locks/main.rs with the C library. Compiled twice: against libdlm_lt, and, with
 * THREADED defined, against libdlm, which can run a thread for its callbacks.
 *
 * libdlm ROW COUNT does COUNT pairs and prints the nanoseconds that they took.
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include <libdlm.h>

#define LOCKSPACE "bench"
#define RESOURCE "resource"
#define BATCH 1000

/* Pairs before the clock starts; no less than a batch. */
#define WARM_UP 1000

static dlm_lshandle_t lockspace;

static void fail(const char *what)
{
	fprintf(stderr, "libdlm: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A lock, the argument of its callbacks, and what these count. */
struct lock {
	struct dlm_lksb lksb;
	char name[16];
	unsigned int name_length;
};

static unsigned int granted;
static unsigned int unlocked;

static void note(void *argument)
{
	const struct lock *lock = argument;

	if (lock->lksb.sb_status == 0)
		granted++;
	else if (lock->lksb.sb_status == EUNLOCK)
		unlocked++;
	else
		fail("a completion with an odd status");
}

static void poll_and_dispatch(const unsigned int *count, unsigned int wanted)
{
	struct pollfd set = { .fd = dlm_ls_get_fd(lockspace), .events = POLLIN };

	while (*count < wanted) {
		if (poll(&set, 1, -1) < 0 && errno != EINTR)
			fail("poll");
		if (dlm_dispatch(set.fd) < 0)
			fail("dlm_dispatch");
	}
}

static void name(struct lock *lock, const char *text)
{
	lock->name_length = strlen(text);
	memcpy(lock->name, text, lock->name_length);
}

static void start_lock(struct lock *lock)
{
	if (dlm_ls_lock(lockspace, LKM_EXMODE, &lock->lksb, 0, lock->name, lock->name_length, 0,
			note, lock, NULL, NULL))
		fail("dlm_ls_lock");
}

static void start_unlock(struct lock *lock)
{
	if (dlm_ls_unlock(lockspace, lock->lksb.sb_lkid, 0, &lock->lksb, lock))
		fail("dlm_ls_unlock");
}

/*
 * Both libraries leave the status in the lksb; what the calls return differs, and libdlm_lt returns
 * -1 for an unlock that succeeded.
 */
static void blocking(unsigned int count)
{
	static struct dlm_lksb lksb;

	while (count--) {
		dlm_ls_lock_wait(lockspace, LKM_EXMODE, &lksb, 0, RESOURCE, strlen(RESOURCE), 0,
				 NULL, NULL, NULL);
		if (lksb.sb_status != 0)
			fail("dlm_ls_lock_wait");
		dlm_ls_unlock_wait(lockspace, lksb.sb_lkid, 0, &lksb);
		if (lksb.sb_status != EUNLOCK)
			fail("dlm_ls_unlock_wait");
	}
}

static void polling(unsigned int count)
{
	static struct lock lock;

	name(&lock, RESOURCE);
	while (count--) {
		granted = unlocked = 0;
		start_lock(&lock);
		poll_and_dispatch(&granted, 1);
		start_unlock(&lock);
		poll_and_dispatch(&unlocked, 1);
	}
}

static void in_flight(unsigned int count)
{
	static struct lock locks[BATCH];
	char text[sizeof(locks->name)];

	for (unsigned int i = 0; i < BATCH; i++) {
		snprintf(text, sizeof(text), "resource-%04u", i);
		name(&locks[i], text);
	}
	for (; count >= BATCH; count -= BATCH) {
		granted = unlocked = 0;
		for (unsigned int i = 0; i < BATCH; i++)
			start_lock(&locks[i]);
		poll_and_dispatch(&granted, BATCH);
		for (unsigned int i = 0; i < BATCH; i++)
			start_unlock(&locks[i]);
		poll_and_dispatch(&unlocked, BATCH);
	}
}

static void start_thread(void)
{
#ifdef THREADED
	if (dlm_ls_pthread_init(lockspace))
		fail("dlm_ls_pthread_init");
#else
	fputs("libdlm: this library has no thread\n", stderr);
	exit(1);
#endif
}

static const struct row {
	const char *name;
	void (*prepare)(void);
	void (*work)(unsigned int count);
} rows[] = {
	{ "blocking", NULL, blocking },
	{ "blocking-with-thread", start_thread, blocking },
	{ "poll-dispatch", NULL, polling },
	{ "in-flight", NULL, in_flight },
	/* There are none in C; this is how one thread does several things there. */
	{ "futures", NULL, polling },
};

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void run(const struct row *row, unsigned int count)
{
	int64_t start;

	lockspace = dlm_create_lockspace(LOCKSPACE, 0600);
	if (!lockspace)
		fail("dlm_create_lockspace");
	if (row->prepare)
		row->prepare();
	row->work(WARM_UP);
	start = now();
	row->work(count);
	printf("ns %lld\n", (long long)(now() - start));
	if (dlm_release_lockspace(LOCKSPACE, lockspace, 1))
		fail("dlm_release_lockspace");
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, argv[1]) == 0) {
			run(&rows[i], strtoul(argv[2], NULL, 10));
			return 0;
		}
	}
	fprintf(stderr, "usage: %s ROW COUNT\n", argv[0]);
	return 1;
}
