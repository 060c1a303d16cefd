/*
 * The commonest C program there is: the AST thread unlocks a lock whose lock call has not returned.
 * With two processors, C libdlm crashes the kernel by it within seconds. DLM_OPERATIONS: how many.
 *
 * Libraries: libdlm
 */

#include <sched.h>

#include "check.h"

#define MANY 512

static struct dlm_lksb lksb[MANY];
static int is_free[MANY];

static void ast(void *argument)
{
	long i = (long)argument;

	if (lksb[i].sb_status == EUNLOCK) {
		__atomic_store_n(&is_free[i], 1, __ATOMIC_RELEASE);
		return;
	}
	CHECK(lksb[i].sb_status == 0);
	CHECK(dlm_ls_unlock(space, lksb[i].sb_lkid, 0, &lksb[i], argument) == 0);
}

static void await_free(long i)
{
	while (!__atomic_load_n(&is_free[i], __ATOMIC_ACQUIRE))
		sched_yield();
}

int main(void)
{
	const char *text = getenv("DLM_OPERATIONS");
	long operations = text ? atol(text) : 20000;
	char name[8];

	start("unlock_in_ast");
	start_thread(space);
	for (long i = 0; i < operations; i++) {
		long slot = i % MANY;
		int length = snprintf(name, sizeof(name), "%ld", i % 10);

		if (i >= MANY)
			await_free(slot);
		is_free[slot] = 0;
		CHECK(dlm_ls_lock(space, LKM_CRMODE, &lksb[slot], 0, name, length, 0, ast, (void *)slot,
				  NULL, NULL) == 0);
	}
	for (long i = 0; i < MANY && i < operations; i++)
		await_free(i);
	finish("unlock_in_ast");
	return 0;
}
