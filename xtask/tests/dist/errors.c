/* Calls every function where there is no DLM, and with arguments that are no good: each says so. */

#include <errno.h>
#include <libdlm.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void ast(void *argument)
{
	(void)argument;
	puts("an AST was called");
	failures++;
}

/* What came out of a call that has to fail. */
static void fails(const char *what, int failed)
{
	int error = errno;

	printf("%s: %s\n", what, failed ? strerror(error) : "succeeds");
	if (!failed || error <= 0)
		failures++;
	errno = 0;
}

#define NUMBER(call) fails(#call, (call) == -1)
#define POINTER(call) fails(#call, (call) == NULL)

int main(void)
{
	struct dlm_lksb lksb = {0, 0, 0, NULL};
	dlm_lshandle_t odd = &lksb;
	uint32_t major = 0, minor = 0, patch = 0;

	errno = 0;
	dlm_library_version(&major, &minor, &patch);
	printf("library %u.%u.%u\n", major, minor, patch);
	if (major != 6)
		failures++;
	dlm_library_version(NULL, NULL, NULL);
	NUMBER(dlm_kernel_version(&major, &minor, &patch));
	NUMBER(dlm_kernel_version(NULL, NULL, NULL));

	POINTER(dlm_create_lockspace("test", 0600));
	POINTER(dlm_create_lockspace(NULL, 0600));
	POINTER(dlm_new_lockspace("test", 0600, DLM_LSFL_NEWEXCL));
	POINTER(dlm_new_lockspace("", 0600, 0));
	POINTER(dlm_open_lockspace("test"));
	POINTER(dlm_open_lockspace("a/b"));
	POINTER(dlm_open_lockspace(NULL));
	NUMBER(dlm_close_lockspace(NULL));
	NUMBER(dlm_close_lockspace(odd));
	NUMBER(dlm_release_lockspace("test", NULL, 0));
	NUMBER(dlm_release_lockspace(NULL, odd, 1));

	NUMBER(dlm_get_fd());
	NUMBER(dlm_ls_get_fd(NULL));
	NUMBER(dlm_ls_get_fd(odd));
	NUMBER(dlm_dispatch(-1));
	NUMBER(dlm_dispatch(0));

	NUMBER(dlm_lock(LKM_EXMODE, &lksb, 0, "a", 1, 0, ast, NULL, NULL, NULL));
	NUMBER(dlm_lock(LKM_EXMODE, NULL, 0, NULL, 1, 0, NULL, NULL, NULL, NULL));
	NUMBER(dlm_lock_wait(LKM_EXMODE, &lksb, 0, "a", 1, 0, NULL, NULL, NULL));
	NUMBER(dlm_unlock(1, 0, &lksb, NULL));
	NUMBER(dlm_unlock_wait(1, 0, &lksb));
	NUMBER(dlm_unlock_wait(1, 0, NULL));
	NUMBER(dlm_ls_lock(NULL, LKM_EXMODE, &lksb, 0, "a", 1, 0, ast, NULL, NULL, NULL));
	NUMBER(dlm_ls_lock(odd, 77, NULL, 0, "a", 1, 0, ast, NULL, NULL, NULL));
	NUMBER(dlm_ls_lockx(odd, LKM_EXMODE, &lksb, LKF_WAIT | LKF_TIMEOUT, "a", 1, 0, ast, NULL,
			    NULL, NULL, NULL));
	NUMBER(dlm_ls_lock_wait(odd, LKM_EXMODE, &lksb, 0, "a", 1000, 0, NULL, NULL, NULL));
	NUMBER(dlm_ls_unlock(odd, 1, 0, &lksb, NULL));
	NUMBER(dlm_ls_unlock_wait(NULL, 1, LKF_CANCEL, &lksb));
	NUMBER(dlm_ls_deadlock_cancel(odd, 1, LKF_CANCEL));
	NUMBER(dlm_ls_purge(NULL, 0, 0));

#ifdef _REENTRANT
	NUMBER(dlm_pthread_init());
	/* Not always a failure: there is nothing to clean up. */
	dlm_pthread_cleanup();
	errno = 0;
	fails("dlm_ls_pthread_init(odd)", dlm_ls_pthread_init(odd) != 0);
	NUMBER(lock_resource("a", LKM_EXMODE, 0, (int *)&lksb.sb_lkid));
	NUMBER(lock_resource(NULL, LKM_EXMODE, 0, NULL));
	NUMBER(unlock_resource(1));
#endif
	return failures != 0;
}
