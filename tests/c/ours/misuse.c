/*
 * Descriptors and ids that are none, and a lockspace that is closed while a thread waits in it.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static void *wait_for_lock(void *argument)
{
	struct dlm_lksb *lksb = argument;

	CHECK(dlm_ls_lock_wait(space, LKM_EXMODE, lksb, 0, "r", 1, 0, NULL, NULL, NULL) == -1);
	CHECK(errno == EBADF);
	return NULL;
}

int main(void)
{
	struct dlm_lksb a = { 0 }, b = { 0 };
	pthread_t thread;
	char byte;
	int fds[2];

	start("misuse");
	CHECK(pipe(fds) == 0);
	CHECK(write(fds[1], "x", 1) == 1);
	CHECK(dlm_dispatch(fds[0]) == -1 && errno == EBADF);
	CHECK(read(fds[0], &byte, 1) == 1);
	for (uint32_t id = 1; id < 200; id++)
		CHECK(dlm_ls_unlock(space, id * 7919, 0, &a, NULL) == -1 && errno == ENOENT);
	CHECK(dlm_ls_unlock(space, 1, LKF_CONVERT, &a, NULL) == -1 && errno == EINVAL);
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	CHECK(dlm_ls_unlock(space, a.sb_lkid, LKF_CANCEL | LKF_FORCEUNLOCK, &a, NULL) == -1);
	CHECK(errno == EINVAL);
	CHECK(pthread_create(&thread, NULL, wait_for_lock, &b) == 0);
	await_id(&b);
	finish("misuse");
	CHECK(pthread_join(thread, NULL) == 0);
	return 0;
}
