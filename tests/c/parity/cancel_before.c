/*
 * A cancellation that is pending before a call ends the thread in it, and the call has done nothing.
 * Functions that ask no kernel return.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static dlm_lshandle_t spare;
static struct dlm_lksb held, wanted;
static int ran, at_work;

static void locks(void)
{
	dlm_ls_lock(space, LKM_EXMODE, &wanted, 0, "w", 1, 0, count_ast, &ran, NULL, NULL);
}

static void locks_timed(void)
{
	uint64_t hundredths = 10;

	dlm_ls_lockx(space, LKM_EXMODE, &wanted, LKF_TIMEOUT, "w", 1, 0, count_ast, &ran, NULL, NULL,
		     &hundredths);
}

static void locks_and_waits(void)
{
	dlm_ls_lock_wait(space, LKM_EXMODE, &wanted, 0, "w", 1, 0, NULL, NULL, NULL);
}

static void converts(void)
{
	dlm_ls_lock(space, LKM_NLMODE, &held, LKF_CONVERT, "h", 1, 0, count_ast, &ran, NULL, NULL);
}

static void converts_and_waits(void)
{
	dlm_ls_lock_wait(space, LKM_NLMODE, &held, LKF_CONVERT, "h", 1, 0, NULL, NULL, NULL);
}

static void unlocks(void)
{
	dlm_ls_unlock(space, held.sb_lkid, 0, &held, NULL);
}

static void unlocks_and_waits(void)
{
	dlm_ls_unlock_wait(space, held.sb_lkid, 0, &held);
}

static void cancels(void)
{
	dlm_ls_unlock(space, held.sb_lkid, LKF_CANCEL, &held, NULL);
}

static void cancels_deadlock(void)
{
	dlm_ls_deadlock_cancel(space, held.sb_lkid, 0);
}

static void purges(void)
{
	dlm_ls_purge(space, 0, 0);
}

static void dispatches(void)
{
	dlm_dispatch(dlm_ls_get_fd(space));
}

static void creates(void)
{
	dlm_create_lockspace("cancel_before2", 0600);
}

static void creates_new(void)
{
	dlm_new_lockspace("cancel_before2", 0600, 0);
}

static void opens(void)
{
	dlm_open_lockspace("cancel_before");
}

static void closes(void)
{
	dlm_close_lockspace(space);
}

static void releases(void)
{
	dlm_release_lockspace("cancel_before", space, 1);
}

static void gets_default_fd(void)
{
	dlm_get_fd();
}

static void locks_default(void)
{
	dlm_lock(LKM_EXMODE, &wanted, 0, "w", 1, 0, count_ast, &ran, NULL, NULL);
}

static void locks_default_and_waits(void)
{
	dlm_lock_wait(LKM_EXMODE, &wanted, 0, "w", 1, 0, NULL, NULL, NULL);
}

static void gets_fd(void)
{
	CHECK(dlm_ls_get_fd(space) >= 0);
}

static void asks_versions(void)
{
	uint32_t major, minor, patch;

	CHECK(dlm_kernel_version(&major, &minor, &patch) == 0);
	dlm_library_version(&major, &minor, &patch);
}

#ifdef THREADED
static void starts_thread(void)
{
	CHECK(dlm_ls_pthread_init(spare) == 0);
}

static void starts_default_thread(void)
{
	dlm_pthread_init();
}

static void locks_resource(void)
{
	int id;

	lock_resource("w", LKM_EXMODE, 0, &id);
}
#endif

static const struct {
	const char *name;
	void (*call)(void);
} calls[] = {
	{ "dlm_ls_lock", locks },
	{ "dlm_ls_lockx", locks_timed },
	{ "dlm_ls_lock_wait", locks_and_waits },
	{ "dlm_ls_lock, conversion", converts },
	{ "dlm_ls_lock_wait, conversion", converts_and_waits },
	{ "dlm_ls_unlock", unlocks },
	{ "dlm_ls_unlock_wait", unlocks_and_waits },
	{ "dlm_ls_unlock, cancel", cancels },
	{ "dlm_ls_deadlock_cancel", cancels_deadlock },
	{ "dlm_ls_purge", purges },
	{ "dlm_dispatch", dispatches },
	{ "dlm_create_lockspace", creates },
	{ "dlm_new_lockspace", creates_new },
	{ "dlm_open_lockspace", opens },
	{ "dlm_get_fd", gets_default_fd },
	{ "dlm_lock", locks_default },
	{ "dlm_lock_wait", locks_default_and_waits },
	{ "dlm_ls_get_fd", gets_fd },
	{ "versions", asks_versions },
#ifdef THREADED
	{ "dlm_ls_pthread_init", starts_thread },
	{ "dlm_pthread_init", starts_default_thread },
	{ "lock_resource", locks_resource },
#endif
}, ends[] = {
	{ "dlm_close_lockspace", closes },
	{ "dlm_release_lockspace", releases },
};

#define COUNT(of) (sizeof(of) / sizeof((of)[0]))

static void *body(void *argument)
{
	void (*const *call)(void) = argument;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	count_ast(&at_work);
	await(&at_work, 2);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	(*call)();
	return NULL;
}

static void try(const char *name, void (*const *call)(void))
{
	pthread_t thread;
	void *result;

	at_work = 0;
	CHECK(pthread_create(&thread, NULL, body, (void *)call) == 0);
	await(&at_work, 1);
	CHECK(pthread_cancel(thread) == 0);
	count_ast(&at_work);
	CHECK(pthread_join(thread, &result) == 0);
	printf("%s: %s\n", name, result == PTHREAD_CANCELED ? "cancelled" : "returned");
	fflush(stdout);
}

int main(void)
{
	start("cancel_before");
	start_thread(space);
	spare = dlm_open_lockspace("cancel_before");
	CHECK(spare);
	lock_wait(space, LKM_EXMODE, &held, 0, "h");
	for (size_t i = 0; i < COUNT(calls); i++)
		try(calls[i].name, &calls[i].call);
	/* None of them has done anything. */
	CHECK(ran == 0);
	CHECK(dlm_open_lockspace("cancel_before2") == NULL);
	memset(&wanted, 0, sizeof(wanted));
	lock_wait(space, LKM_EXMODE, &wanted, LKF_NOQUEUE, "w");
	unlock_wait(space, &wanted);
	unlock_wait(space, &held);
	/* In the original the handle is of no use after these, and what they hold stays until the end. */
	for (size_t i = 0; i < COUNT(ends); i++)
		try(ends[i].name, &ends[i].call);
	return 0;
}
