/*
 * The calls without a lockspace: they open the default one, and create it where there is none.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int done;

int main(void)
{
	struct dlm_lksb lksb = { 0 }, other = { 0 };
	struct pollfd set = { .events = POLLIN };
	struct stat node;
	dlm_lshandle_t ls;

	limit();
	CHECK(dlm_lock(LKM_EXMODE, &lksb, 0, "r", 1, 0, count_ast, &done, NULL, NULL) == 0);
	if (!on_engine()) {
		CHECK(stat("/dev/dlm_default", &node) == 0);
		printf("mode %o\n", node.st_mode & 0777);
	}
	set.fd = dlm_get_fd();
	CHECK(set.fd >= 0 && set.fd == dlm_get_fd());
	while (done < 1) {
		CHECK(poll(&set, 1, -1) == 1);
		CHECK(dlm_dispatch(set.fd) == 0);
	}
	printf("%s\n", status_name(lksb.sb_status));
#ifdef THREADED
	CHECK(dlm_pthread_init() == 0);
	CHECK(dlm_pthread_init() == -1 && errno == EEXIST);
#endif
	say("taken", dlm_lock_wait(LKM_PRMODE, &other, LKF_NOQUEUE, "r", 1, 0, NULL, NULL, NULL),
	    &other);
	CHECK(dlm_unlock(lksb.sb_lkid, 0, &lksb, &done) == 0);
	if (IS_LIGHT)
		CHECK(poll(&set, 1, -1) == 1 && dlm_dispatch(set.fd) == 0);
	await(&done, 2);
	printf("%s\n", status_name(lksb.sb_status));
	say("free", dlm_lock_wait(LKM_PRMODE, &other, LKF_NOQUEUE, "r", 1, 0, NULL, NULL, NULL),
	    &other);
	say("unlock", dlm_unlock_wait(other.sb_lkid, 0, &other), &other);
#ifdef THREADED
	int a = 0, b = 0;

	printf("lock_resource %d\n", lock_resource("name", LKM_EXMODE, 0, &a));
	CHECK(a != 0);
	CHECK(lock_resource("name", LKM_EXMODE, LKF_NOQUEUE, &b) == -1);
	printf("taken: %s\n", status_name(errno));
	/* The NUL at the end of the name is no part of it. */
	for (unsigned int length = 4; length <= 5; length++)
		say("by length", dlm_lock_wait(LKM_EXMODE, &other, LKF_NOQUEUE, "name", length, 0,
					       NULL, NULL, NULL), &other);
	printf("convert %d\n", lock_resource("name", LKM_PRMODE, LKF_CONVERT, &a));
	printf("second %d\n", lock_resource("name", LKM_PRMODE, LKF_NOQUEUE, &b));
	printf("unlock_resource %d %d\n", unlock_resource(a), unlock_resource(b));
	printf("again %d\n", unlock_resource(a));
	printf("cleanup %d\n", dlm_pthread_cleanup());
#endif
	ls = dlm_open_lockspace("default");
	CHECK(ls);
	return 0;
}
