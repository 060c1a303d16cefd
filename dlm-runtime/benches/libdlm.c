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

/* The same on a cluster, where they take a thousand times as long. */
#define CLUSTER_WARM_UP 20

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

/* Turns that are left, of all in a row where two nodes take turns. */
static unsigned int turns;

static unsigned int blocked;

static void note_blocked(void *argument)
{
	(void)argument;
	blocked++;
}

/* Waits until the other node wants the lock. Whoever has the last turn waits for nobody. */
static void give_way(void)
{
	if (--turns)
		poll_and_dispatch(&blocked, 1);
}

static void handover(unsigned int count)
{
	static struct lock lock;

	name(&lock, RESOURCE);
	while (count--) {
		granted = unlocked = blocked = 0;
		if (dlm_ls_lock(lockspace, LKM_EXMODE, &lock.lksb, 0, lock.name, lock.name_length,
				0, note, &lock, note_blocked, NULL))
			fail("dlm_ls_lock");
		poll_and_dispatch(&granted, 1);
		give_way();
		start_unlock(&lock);
		poll_and_dispatch(&unlocked, 1);
	}
}

static struct lock shared;
static char block[32];

static void convert_shared(uint32_t mode)
{
	granted = 0;
	if (dlm_ls_lock(lockspace, mode, &shared.lksb, LKF_CONVERT | LKF_VALBLK, NULL, 0, 0, note,
			&shared, note_blocked, NULL))
		fail("dlm_ls_lock to convert");
	poll_and_dispatch(&granted, 1);
}

static void value_exchange(unsigned int count)
{
	static uint64_t written;
	uint64_t value;

	while (count--) {
		blocked = 0;
		convert_shared(LKM_EXMODE);
		memcpy(&value, block, sizeof(value));
		if ((shared.lksb.sb_flags & DLM_SBF_VALNOTVALID) || (written && value != written + 1))
			fail("the value block");
		give_way();
		written = value + 1;
		memcpy(block, &written, sizeof(written));
		convert_shared(LKM_NLMODE);
	}
}

static void share(void)
{
	shared.lksb.sb_lvbptr = block;
	name(&shared, RESOURCE);
	granted = 0;
	if (dlm_ls_lock(lockspace, LKM_NLMODE, &shared.lksb, LKF_VALBLK, shared.name,
			shared.name_length, 0, note, &shared, note_blocked, NULL))
		fail("dlm_ls_lock");
	poll_and_dispatch(&granted, 1);
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
	/* In a lockspace that somebody keeps. */
	int on_cluster;
} rows[] = {
	{ "blocking", NULL, blocking, 0 },
	{ "blocking-with-thread", start_thread, blocking, 0 },
	{ "poll-dispatch", NULL, polling, 0 },
	{ "in-flight", NULL, in_flight, 0 },
	/* There are none in C; this is how one thread does several things there. */
	{ "futures", NULL, polling, 0 },
	{ "cross-node", NULL, blocking, 1 },
	{ "handover", NULL, handover, 1 },
	{ "value-exchange", share, value_exchange, 1 },
};

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void run(const struct row *row, unsigned int count)
{
	unsigned int warm_up = row->on_cluster ? CLUSTER_WARM_UP : WARM_UP;
	int64_t start;

	if (row->on_cluster)
		lockspace = dlm_open_lockspace(LOCKSPACE);
	else
		lockspace = dlm_create_lockspace(LOCKSPACE, 0600);
	if (!lockspace)
		fail("no lockspace");
	if (row->prepare)
		row->prepare();
	turns = warm_up + count;
	row->work(warm_up);
	start = now();
	row->work(count);
	printf("ns %lld\n", (long long)(now() - start));
	if (row->on_cluster ? dlm_close_lockspace(lockspace)
			    : dlm_release_lockspace(LOCKSPACE, lockspace, 1))
		fail("the end of the lockspace");
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
