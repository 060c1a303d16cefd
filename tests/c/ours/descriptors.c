/*
 * Descriptors of a handle: one as long as nothing is waited for, three when its descriptor is polled, or
 * when a thread sleeps in a call.
 *
 * Not on dlm-engine: its lockspaces have no device.
 * Libraries: libdlm libdlm_lt
 */

#include <dirent.h>
#include <sys/resource.h>

#include "check.h"

static int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	CHECK(folder);
	while (readdir(folder))
		count++;
	CHECK(closedir(folder) == 0);
	return count;
}

static pid_t waiter;

static void *wait_for_lock(void *lksb)
{
	waiter = this_thread();
	dlm_ls_lock_wait(space, LKM_EXMODE, lksb, 0, "r", 1, 0, NULL, NULL, NULL);
	return NULL;
}

int main(void)
{
	struct rlimit limits = { 256, 256 };
	struct dlm_lksb a = { 0 }, b = { 0 };
	dlm_lshandle_t other, many[230];
	int before, count = 0;
	pthread_t thread;

	limit();
	before = descriptors();
	start("descriptors");
	CHECK(descriptors() == before + 1);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_lock(space, LKM_EXMODE, &b, 0, "s", 1, 0, count_ast, &count, NULL, NULL) == 0);
	CHECK(descriptors() == before + 1);
	other = dlm_open_lockspace("descriptors");
	CHECK(other && descriptors() == before + 2);
	/* Polled. */
	CHECK(dlm_ls_lock(other, LKM_EXMODE, &b, 0, "t", 1, 0, count_ast, &count, NULL, NULL) == 0);
	dispatch_until(other, &count, 1);
	CHECK(descriptors() == before + 4);
	CHECK(dlm_close_lockspace(other) == 0);
	CHECK(descriptors() == before + 1);
	/* Slept. */
	memset(&b, 0, sizeof(b));
	CHECK(pthread_create(&thread, NULL, wait_for_lock, &b) == 0);
	await_id(&b);
	await_sleep(waiter);
	unlock_wait(space, &a);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(b.sb_status == 0 && descriptors() <= before + 3);
	/* As many as there is room for. */
	CHECK(setrlimit(RLIMIT_NOFILE, &limits) == 0);
	for (int i = 0; i < 230; i++) {
		many[i] = dlm_open_lockspace("descriptors");
		CHECK(many[i]);
	}
	for (int i = 0; i < 230; i++)
		CHECK(dlm_close_lockspace(many[i]) == 0);
	finish("descriptors");
	CHECK(descriptors() == before);
	return 0;
}
