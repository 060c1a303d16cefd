/*
 * Calls that fail, with the number that says why.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static int count;

static void try(const char *what, int returned)
{
	printf("%s: %d errno %d\n", what, returned, returned < 0 ? errno : 0);
}

static int request(uint32_t mode, uint32_t flags, const void *name, unsigned int length,
		   void (*ast)(void *), void *range)
{
	static struct dlm_lksb lksb;

	memset(&lksb, 0, sizeof(lksb));
	return dlm_ls_lock(space, mode, &lksb, flags, name, length, 0, ast, &count, NULL, range);
}

int main(void)
{
	char long_name[80] = "";
	struct dlm_lksb lksb = { 0 };
	uint32_t major, minor, patch;

	start("refused");
	dlm_library_version(&major, &minor, &patch);
	printf("library %u.%u.%u\n", major, minor, patch);
	try("kernel version", dlm_kernel_version(&major, &minor, &patch));
	printf("kernel %u.%u.%u\n", major, minor, patch);
	memset(long_name, 'x', sizeof(long_name) - 1);
	try("mode 9", request(9, 0, "a", 1, count_ast, NULL));
	try("no AST", request(LKM_EXMODE, 0, "a", 1, NULL, NULL));
	try("a range", request(LKM_EXMODE, 0, "a", 1, count_ast, &lksb));
	try("65 bytes", request(LKM_EXMODE, 0, long_name, 65, count_ast, NULL));
	try("no value block", request(LKM_EXMODE, LKF_VALBLK, "a", 1, count_ast, NULL));
	try("no lock to convert", request(LKM_EXMODE, LKF_CONVERT, NULL, 0, count_ast, NULL));
	try("CANCEL", request(LKM_EXMODE, LKF_CANCEL, "a", 1, count_ast, NULL));
	try("EXPEDITE for EX", request(LKM_EXMODE, LKF_EXPEDITE, "a", 1, count_ast, NULL));
	try("QUECVT", request(LKM_EXMODE, LKF_QUECVT, "a", 1, count_ast, NULL));
	try("no orphan", request(LKM_EXMODE, LKF_ORPHAN | LKF_PERSISTENT, "a", 1, count_ast, NULL));
	try("unlock 0", dlm_ls_unlock(space, 0, 0, &lksb, NULL));
	try("unlock nothing", dlm_ls_unlock(space, 0x12345, 0, &lksb, NULL));
	try("cancel nothing", dlm_ls_unlock(space, 0x12345, LKF_CANCEL, &lksb, NULL));
	try("deadlock 0", dlm_ls_deadlock_cancel(space, 0, 0));
	try("deadlock nothing", dlm_ls_deadlock_cancel(space, 0x12345, 0));
	try("dispatch -1", dlm_dispatch(-1));
	try("no handle", dlm_ls_unlock(NULL, 1, 0, &lksb, NULL));
	try("purge no handle", dlm_ls_purge(NULL, 0, 0));
	try("open nothing", dlm_open_lockspace("no-such-lockspace") ? 0 : -1);
	try("long name", dlm_create_lockspace(long_name, 0600) ? 0 : -1);
	try("exclusive", dlm_new_lockspace("refused", 0600, DLM_LSFL_NEWEXCL) ? 0 : -1);
	printf("ASTs: %d\n", count);
	finish("refused");
	return 0;
}
