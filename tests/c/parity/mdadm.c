/*
 * What mdadm does with a cluster: libdlm_lt by dlopen, an asynchronous PW NOQUEUE request awaited
 * with poll and dispatch, and an unlock that waits, after which it expects the AST of the lock call.
 *
 * Libraries: libdlm_lt
 */

#include <dlfcn.h>

#include "check.h"

static int ast_called;

static void ast(void *argument)
{
	(void)argument;
	ast_called = 1;
}

#define GET(name) __typeof__(dlm_##name) *name = (__typeof__(dlm_##name) *)dlsym(library, "dlm_" #name)

int main(void)
{
	void *library = dlopen("libdlm_lt.so.3", RTLD_NOW | RTLD_LOCAL);
	struct dlm_lksb lksb = { 0 };
	dlm_lshandle_t ls;

	limit();
	CHECK(library);
	GET(create_lockspace);
	GET(release_lockspace);
	GET(ls_lock);
	GET(ls_unlock_wait);
	GET(ls_get_fd);
	GET(dispatch);
	CHECK(create_lockspace && release_lockspace && ls_lock && ls_unlock_wait && ls_get_fd);
	ls = create_lockspace("mdadm", 0600);
	CHECK(ls);
	for (int round = 0; round < 3; round++) {
		ast_called = 0;
		say("lock", ls_lock(ls, LKM_PWMODE, &lksb, LKF_NOQUEUE, "m", 1, 0, ast, &lksb, NULL,
				    NULL), NULL);
		while (!ast_called) {
			struct pollfd set = { .fd = ls_get_fd(ls), .events = POLLIN };

			CHECK(poll(&set, 1, 0) >= 0);
			CHECK(dispatch(set.fd) == 0);
		}
		say("locked", 0, &lksb);
		ast_called = 0;
		CHECK(lksb.sb_lkid != 0);
		say("unlock", ls_unlock_wait(ls, lksb.sb_lkid, 0, &lksb), &lksb);
		printf("the AST was called: %d\n", ast_called);
	}
	CHECK(release_lockspace("mdadm", ls, 1) == 0);
	return 0;
}
