/*
 * What errno is after a call that has succeeded. Clients decide by it: it stays as it was, as a rule.
 * What dlm_release_lockspace leaves depends on udev, see ours/errno_after_release.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static struct dlm_lksb first, second, third;
static uint32_t numbers[3];
static int ran;

#define SAYS(preset, call)                                                                         \
	do {                                                                                       \
		int number;                                                                        \
                                                                                                   \
		errno = preset;                                                                    \
		CHECK(call);                                                                       \
		number = errno;                                                                    \
		printf("%s: %s\n", #call, number == (preset) ? "as it was" : status_name(number)); \
		fflush(stdout);                                                                    \
	} while (0)

/* The end of an operation is there to be read. */
static void wait_for_result(int fd)
{
	struct pollfd set = { .fd = fd, .events = POLLIN };

	CHECK(poll(&set, 1, -1) == 1);
}

static void check(int preset)
{
	dlm_lshandle_t ls, again;
	uint64_t hundredths = 100, xid = 1;
	int fd;

	printf("%d before\n", preset);
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	memset(&third, 0, sizeof(third));
	SAYS(preset, dlm_kernel_version(numbers, numbers + 1, numbers + 2) == 0);
	SAYS(preset, (dlm_library_version(numbers, numbers + 1, numbers + 2), 1));
	SAYS(preset, (ls = dlm_create_lockspace("errno", 0600)) != NULL);
	SAYS(preset, (again = dlm_open_lockspace("errno")) != NULL);
	SAYS(preset, dlm_close_lockspace(again) == 0);
	SAYS(preset, (again = dlm_new_lockspace("errno", 0600, 0)) != NULL);
	SAYS(preset, (fd = dlm_ls_get_fd(ls)) >= 0);
	SAYS(preset, dlm_dispatch(fd) == 0);
	SAYS(preset,
	     dlm_ls_lock(ls, LKM_EXMODE, &first, 0, "a", 1, 0, count_ast, &ran, NULL, NULL) == 0);
	wait_for_result(fd);
	SAYS(preset, dlm_dispatch(fd) == 0);
	SAYS(preset, dlm_ls_lock(ls, LKM_NLMODE, &first, LKF_CONVERT, "a", 1, 0, count_ast, &ran, NULL,
				 NULL) == 0);
	wait_for_result(fd);
	SAYS(preset, dlm_dispatch(fd) == 0);
	SAYS(preset, dlm_ls_unlock(ls, first.sb_lkid, LKF_CANCEL, &first, NULL) == 0);
	SAYS(preset, dlm_ls_deadlock_cancel(ls, first.sb_lkid, 0) == 0);
	SAYS(preset, dlm_ls_unlock(ls, first.sb_lkid, 0, &first, NULL) == 0);
	wait_for_result(fd);
	SAYS(preset, dlm_dispatch(fd) == 0);
	SAYS(preset, dlm_ls_lockx(ls, LKM_EXMODE, &second, 0, "b", 1, 0, count_ast, &ran, NULL, &xid,
				  &hundredths) == 0);
	wait_for_result(fd);
	SAYS(preset, dlm_dispatch(fd) == 0);
	SAYS(preset, dlm_ls_purge(ls, 0, 0) == 0);
	SAYS(preset, dlm_ls_purge(ls, 0, 1) == 0);
#ifdef THREADED
	SAYS(preset, dlm_ls_pthread_init(again) == 0);
#endif
	SAYS(preset, dlm_ls_lock_wait(again, LKM_EXMODE, &third, 0, "c", 1, 0, NULL, NULL, NULL) == 0);
	SAYS(preset, dlm_ls_lock_wait(again, LKM_NLMODE, &third, LKF_CONVERT, "c", 1, 0, NULL, NULL,
				      NULL) == 0);
	SAYS(preset, dlm_ls_unlock_wait(again, third.sb_lkid, 0, &third) == 0);
	CHECK(dlm_close_lockspace(again) == 0);
	CHECK(dlm_release_lockspace("errno", ls, 1) == 0);
}

static void check_default(int preset)
{
	struct dlm_lksb lksb = { 0 };
	int fd;

	/* Opening it leaves anything. */
	fd = dlm_get_fd();
	SAYS(preset, dlm_get_fd() == fd);
	SAYS(preset, dlm_lock(LKM_EXMODE, &lksb, 0, "d", 1, 0, count_ast, &ran, NULL, NULL) == 0);
	wait_for_result(fd);
	CHECK(dlm_dispatch(fd) == 0);
	SAYS(preset, dlm_unlock(lksb.sb_lkid, 0, &lksb, NULL) == 0);
	wait_for_result(fd);
	CHECK(dlm_dispatch(fd) == 0);
#ifdef THREADED
	int id;

	SAYS(preset, dlm_pthread_init() == 0);
	SAYS(preset, lock_resource("r", LKM_EXMODE, 0, &id) == 0);
	SAYS(preset, unlock_resource(id) == 0);
#endif
	memset(&lksb, 0, sizeof(lksb));
	SAYS(preset, dlm_lock_wait(LKM_EXMODE, &lksb, 0, "d", 1, 0, NULL, NULL, NULL) == 0);
	SAYS(preset, dlm_unlock_wait(lksb.sb_lkid, 0, &lksb) == 0);
#ifdef THREADED
	SAYS(preset, dlm_pthread_cleanup() == 0);
#endif
}

int main(void)
{
	limit();
	check(EBUSY);
	check(ENOENT);
	check_default(EBUSY);
	check_default(ENOENT);
	return 0;
}
