/*
 * The work of locks/main.rs with the C library. Compiled twice: against libdlm_lt, and, with
 * THREADED defined, against libdlm, which can run a thread for its callbacks.
 *
 * libdlm ROW COUNT does COUNT pairs and prints what they cost, as locks/measure.rs does.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <libdlm.h>

#define LOCKSPACE "bench"
#define RESOURCE "resource"
#define BATCH 1000

/* Pairs before the clock starts; no less than a batch. */
#define WARM_UP 1000

/* Pairs that are timed together, and clock readings to know the length of one. */
#define CHUNK 10
#define READINGS 200

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
static char value_block[32];

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
		memcpy(&value, value_block, sizeof(value));
		if ((shared.lksb.sb_flags & DLM_SBF_VALNOTVALID) || (written && value != written + 1))
			fail("the value block");
		give_way();
		written = value + 1;
		memcpy(value_block, &written, sizeof(written));
		convert_shared(LKM_NLMODE);
	}
}

static void share(void)
{
	shared.lksb.sb_lvbptr = value_block;
	name(&shared, RESOURCE);
	granted = 0;
	if (dlm_ls_lock(lockspace, LKM_NLMODE, &shared.lksb, LKF_VALBLK, shared.name,
			shared.name_length, 0, note, &shared, note_blocked, NULL))
		fail("dlm_ls_lock");
	poll_and_dispatch(&granted, 1);
}

static void start_thread_of(dlm_lshandle_t handle)
{
#ifdef THREADED
	if (dlm_ls_pthread_init(handle))
		fail("dlm_ls_pthread_init");
#else
	(void)handle;
	fputs("libdlm: this library has no thread\n", stderr);
	exit(1);
#endif
}

static void start_thread(void)
{
	start_thread_of(lockspace);
}

/* The second handle, whose thread holds the lock until the first thread sleeps. */
static dlm_lshandle_t holder;
static unsigned int pairs;
static atomic_uint held, waited;

static void block(dlm_lshandle_t handle, int lock, struct dlm_lksb *lksb)
{
	if (lock)
		dlm_ls_lock_wait(handle, LKM_EXMODE, lksb, 0, RESOURCE, strlen(RESOURCE), 0, NULL,
				 NULL, NULL);
	else
		dlm_ls_unlock_wait(handle, lksb->sb_lkid, 0, lksb);
	if (lksb->sb_status != (lock ? 0 : EUNLOCK))
		fail("a lock or unlock that waits");
}

/* Whether the first thread sleeps. Traced, it is in another state when it is stopped. */
static int sleeps(void)
{
	char text[256], *state;
	FILE *file;

	snprintf(text, sizeof(text), "/proc/self/task/%d/stat", getpid());
	file = fopen(text, "r");
	if (!file || !fgets(text, sizeof(text), file))
		fail("the state of the first thread");
	fclose(file);
	state = strrchr(text, ')');
	return state && strncmp(state, ") S", 3) == 0;
}

static void *hold(void *argument)
{
	static struct dlm_lksb lksb;

	for (unsigned int i = 1; i <= pairs; i++) {
		block(holder, 1, &lksb);
		held = i;
		while (!sleeps())
			;
		block(holder, 0, &lksb);
		while (waited < i)
			;
	}
	return argument;
}

/* The first thread makes no system call between its pairs: somebody counts them. */
static void wait_for_holder(void)
{
	static struct dlm_lksb lksb;
	pthread_t thread;

	if (pthread_create(&thread, NULL, hold, NULL))
		fail("pthread_create");
	for (unsigned int i = 1; i <= pairs; i++) {
		while (held < i)
			;
		block(lockspace, 1, &lksb);
		block(lockspace, 0, &lksb);
		waited = i;
	}
	pthread_join(thread, NULL);
}

static void waits(unsigned int count)
{
	lockspace = dlm_create_lockspace(LOCKSPACE, 0600);
	holder = dlm_open_lockspace(LOCKSPACE);
	if (!lockspace || !holder)
		fail("no lockspace");
#ifdef THREADED
	start_thread_of(lockspace);
	start_thread_of(holder);
#endif
	pairs = count;
	wait_for_holder();
	if (dlm_close_lockspace(holder) || dlm_release_lockspace(LOCKSPACE, lockspace, 1))
		fail("the end of the lockspace");
}

static const struct row {
	const char *name;
	void (*prepare)(void);
	void (*work)(unsigned int count);
	/* The least that it does. */
	unsigned int chunk;
	/* In a lockspace that somebody keeps. */
	int on_cluster;
} rows[] = {
	{ "blocking", NULL, blocking, CHUNK, 0 },
	{ "blocking-with-thread", start_thread, blocking, CHUNK, 0 },
	{ "poll-dispatch", NULL, polling, CHUNK, 0 },
	{ "in-flight", NULL, in_flight, BATCH, 0 },
	/* There are none in C; this is how one thread does several things there. */
	{ "futures", NULL, polling, CHUNK, 0 },
	{ "handover", NULL, handover, CHUNK, 1 },
	{ "value-exchange", share, value_exchange, CHUNK, 1 },
};

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

/* The time at the tenth percentile. */
static int64_t tenth(int64_t *times, unsigned int count)
{
	qsort(times, count, sizeof(*times), compare);
	return times[count / 10];
}

/* How long reading the clock takes. */
static int64_t reading(void)
{
	int64_t times[READINGS], start;

	for (unsigned int i = 0; i < READINGS; i++) {
		start = now();
		times[i] = now() - start;
	}
	return tenth(times, READINGS);
}

static void measure(const struct row *row, unsigned int count)
{
	unsigned int chunks = count / row->chunk;
	int64_t *times = calloc(chunks, sizeof(*times));
	int64_t start, clock = reading(), total = 0;

	if (!times || !chunks || count % row->chunk)
		fail("the number of pairs");
	for (unsigned int i = 0; i < chunks; i++) {
		start = now();
		row->work(row->chunk);
		times[i] = now() - start - clock;
		total += times[i];
	}
	printf("ns %lld\n", (long long)total);
	printf("tenth %lld %u\n", (long long)tenth(times, chunks), row->chunk);
	free(times);
}

static void run(const struct row *row, unsigned int count)
{
	unsigned int warm_up = row->on_cluster ? CLUSTER_WARM_UP : WARM_UP;

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
	measure(row, count);
	if (row->on_cluster ? dlm_close_lockspace(lockspace)
			    : dlm_release_lockspace(LOCKSPACE, lockspace, 1))
		fail("the end of the lockspace");
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "waits") == 0) {
		waits(strtoul(argv[2], NULL, 10));
		return 0;
	}
	for (size_t i = 0; argc == 3 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, argv[1]) == 0) {
			run(&rows[i], strtoul(argv[2], NULL, 10));
			return 0;
		}
	}
	fprintf(stderr, "usage: %s ROW COUNT\n", argv[0]);
	return 1;
}
