/*
 * NULL in every place, the status block of an unlock too, which VMS allows. The original crashes, or leaves an errno that is none.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define REFUSED(call, number)                                                                      \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == -1);                                                               \
		CHECK(errno == (number));                                                          \
	} while (0)

int main(void)
{
	struct dlm_lksb a = { 0 };
	int count = 0;

	start("null");
	start_thread(space);
	lock_wait(space, LKM_EXMODE, &a, 0, "held");
	REFUSED(dlm_ls_unlock(space, a.sb_lkid, 0, NULL, NULL), EINVAL);
	REFUSED(dlm_ls_unlock(space, a.sb_lkid, LKF_CANCEL, NULL, NULL), EINVAL);
	REFUSED(dlm_ls_unlock_wait(space, a.sb_lkid, 0, NULL), EINVAL);
	REFUSED(dlm_ls_unlock_wait(space, a.sb_lkid, LKF_FORCEUNLOCK, NULL), EINVAL);
	unlock_wait(space, &a);
	REFUSED(dlm_ls_lock(NULL, LKM_EXMODE, &a, 0, "r", 1, 0, count_ast, &count, NULL, NULL),
		ENOTCONN);
	REFUSED(dlm_ls_lock(space, LKM_EXMODE, NULL, 0, "r", 1, 0, count_ast, &count, NULL, NULL),
		EINVAL);
	REFUSED(dlm_ls_lock(space, LKM_EXMODE, &a, 0, NULL, 1, 0, count_ast, &count, NULL, NULL),
		EINVAL);
	REFUSED(dlm_ls_lock_wait(space, LKM_EXMODE, NULL, 0, "r", 1, 0, NULL, NULL, NULL), EINVAL);
	REFUSED(dlm_ls_lock_wait(NULL, LKM_EXMODE, &a, 0, "r", 1, 0, NULL, NULL, NULL), ENOTCONN);
	REFUSED(dlm_ls_unlock(space, 1, 0, NULL, NULL), EINVAL);
	REFUSED(dlm_ls_unlock_wait(space, 1, 0, NULL), EINVAL);
	REFUSED(dlm_ls_unlock_wait(NULL, 1, 0, &a), ENOTCONN);
	REFUSED(dlm_close_lockspace(NULL), EINVAL);
	REFUSED(dlm_release_lockspace("null", NULL, 0), EINVAL);
	REFUSED(dlm_release_lockspace(NULL, space, 0), EINVAL);
	REFUSED(dlm_ls_get_fd(NULL), ENOTCONN);
	CHECK(!dlm_create_lockspace(NULL, 0600) && errno == EINVAL);
	CHECK(!dlm_new_lockspace(NULL, 0600, 0) && errno == EINVAL);
	CHECK(!dlm_open_lockspace(NULL) && errno == EINVAL);
	CHECK(dlm_kernel_version(NULL, NULL, NULL) == 0);
	dlm_library_version(NULL, NULL, NULL);
#ifdef THREADED
	REFUSED(dlm_ls_pthread_init(NULL), ENOTCONN);
	REFUSED(lock_resource(NULL, LKM_EXMODE, 0, &count), EINVAL);
	REFUSED(lock_resource("r", LKM_EXMODE, 0, NULL), EINVAL);
	REFUSED(unlock_resource(77), ENOTCONN);
#endif
	finish("null");
	return 0;
}
