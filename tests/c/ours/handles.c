/*
 * Handles as their callers keep them: in an int, which stays positive however often a lockspace is
 * opened, with many of them open at once. One that was closed is refused, and stays so for long.
 *
 * DLM_OPERATIONS is how often it is opened.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define OPEN 400
#define CLOSED 2000

static int open_ones[OPEN], closed_ones[CLOSED];

static dlm_lshandle_t handle(int number)
{
	return (dlm_lshandle_t)(intptr_t)number;
}

int main(void)
{
	const char *text = getenv("DLM_OPERATIONS");
	long times = text ? strtol(text, NULL, 0) : 70000;
	struct dlm_lksb lksb = { 0 };

	start("handles");
	for (long i = 0; i < times; i++) {
		int *place = &open_ones[i % OPEN];
		int number;

		if (*place) {
			CHECK(dlm_close_lockspace(handle(*place)) == 0);
			CHECK(dlm_close_lockspace(handle(*place)) == -1 && errno == EINVAL);
			CHECK(dlm_ls_unlock(handle(*place), 1, 0, &lksb, NULL) == -1 &&
			      errno == EBADF);
			closed_ones[i % CLOSED] = *place;
		}
		number = (int)(intptr_t)dlm_open_lockspace("handles");
		CHECK(number > 0);
		CHECK(number != (int)(intptr_t)space);
		for (int j = 0; j < OPEN; j++)
			CHECK(number != open_ones[j]);
		for (int j = 0; j < CLOSED; j++)
			CHECK(number != closed_ones[j]);
		*place = number;
	}
	/* Each of them is as good as the first. */
	start_thread(space);
	for (int i = 0; i < OPEN && i < times; i++) {
		lock_wait(handle(open_ones[i]), LKM_EXMODE, &lksb, LKF_NOQUEUE, "r");
		unlock_wait(handle(open_ones[i]), &lksb);
	}
	for (int i = 0; i < OPEN; i++)
		CHECK(dlm_close_lockspace(handle(open_ones[i])) == (i < times ? 0 : -1));
	finish("handles");
	return 0;
}
