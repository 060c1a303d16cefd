/*
 * Locks, conversions, unlocks, forced unlocks and cancels at random, of sixteen locks on four
 * resources, also of locks whose results are not read yet. Whatever a call answers, each lock comes to
 * rest, and none is left.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define LOCKS 16
#define RESOURCES 4
#define STEPS 20000

struct lock {
	struct dlm_lksb lksb;
	int is_held;
	/* A lock call that was accepted and whose AST has not come. */
	int is_busy;
	/* Its id may be another lock's by now: it has failed, or will. */
	int is_over;
	/* An unlock that was accepted and whose AST has not come. */
	int is_ending;
};

static struct lock locks[LOCKS];
static int fd;

static void ast(void *argument)
{
	struct lock *lock = argument;

	switch (lock->lksb.sb_status) {
	case 0:
		lock->is_held = 1;
		break;
	case EUNLOCK:
		CHECK(lock->is_ending);
		lock->is_held = lock->is_ending = 0;
		break;
	case EAGAIN:
	case ECANCEL:
	case EDEADLK:
		CHECK(lock->is_busy);
		break;
	default:
		fprintf(stderr, "status %d\n", lock->lksb.sb_status);
		exit(1);
	}
	lock->is_busy = lock->is_over = 0;
}

static void bast(void *argument)
{
	(void)argument;
}

static void take(struct lock *lock, uint32_t flags)
{
	char name[8];

	snprintf(name, sizeof(name), "r%d", (int)(lock - locks) % RESOURCES);
	if (lock->is_held)
		flags |= LKF_CONVERT;
	CHECK(dlm_ls_lock(space, rand() % 6, &lock->lksb, flags, name, strlen(name), 0, ast, lock,
			  bast, NULL) == 0);
	lock->is_busy = 1;
	/* Nothing else is done with one that ends by itself, except at once. */
	lock->is_over = (flags & LKF_NOQUEUE) && !lock->is_held;
}

/* An unlock that comes too late finds no lock: then the lock call has failed, and says so. */
static void drop(struct lock *lock, uint32_t flags)
{
	if (dlm_ls_unlock(space, lock->lksb.sb_lkid, flags, &lock->lksb, lock) == 0) {
		lock->is_ending = 1;
		return;
	}
	CHECK(errno == ENOENT && lock->is_busy && !lock->is_held);
	lock->is_over = 1;
}

static void cancel(struct lock *lock)
{
	int result = dlm_ls_unlock(space, lock->lksb.sb_lkid, LKF_CANCEL, &lock->lksb, lock);

	CHECK(result == 0 || errno == EBUSY);
	if (rand() & 1)
		drop(lock, LKF_FORCEUNLOCK);
	lock->is_over = 1;
}

static void step(struct lock *lock)
{
	int choice = rand() % 8;

	if (lock->is_ending || lock->is_over)
		return;
	if (lock->is_busy) {
		if (choice == 0)
			drop(lock, LKF_FORCEUNLOCK);
		else if (choice == 1)
			cancel(lock);
	} else if (lock->is_held && choice < 2) {
		drop(lock, choice ? LKF_FORCEUNLOCK : 0);
	} else {
		take(lock, choice & 1 ? LKF_NOQUEUE : 0);
		if (choice == 7)
			drop(lock, LKF_FORCEUNLOCK);
	}
}

static int is_at_rest(void)
{
	for (int i = 0; i < LOCKS; i++) {
		if (locks[i].is_held || locks[i].is_busy || locks[i].is_ending)
			return 0;
	}
	return 1;
}

int main(void)
{
	struct pollfd results = { .events = POLLIN };

	start("stress");
	results.fd = fd = dlm_ls_get_fd(space);
	srand(4711);
	for (int i = 0; i < STEPS; i++) {
		step(&locks[rand() % LOCKS]);
		if (rand() % 4 == 0)
			CHECK(dlm_dispatch(fd) == 0);
	}
	while (!is_at_rest()) {
		for (int i = 0; i < LOCKS; i++) {
			struct lock *lock = &locks[i];

			if (!lock->is_ending && !lock->is_over && (lock->is_held || lock->is_busy))
				drop(lock, LKF_FORCEUNLOCK);
		}
		CHECK(poll(&results, 1, -1) == 1);
		CHECK(dlm_dispatch(fd) == 0);
	}
	printf("all at rest\n");
	finish("stress");
	return 0;
}
