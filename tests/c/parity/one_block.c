/*
 * One status block for many locks: each AST finds in it how its own operation has ended, as long as
 * they end one after the other, and the ids are the caller's affair.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define MANY 50

static struct dlm_lksb lksb;
static int done, held[MANY];

static void ast(void *argument)
{
	printf("%d: %s\n", *(int *)argument, status_name(lksb.sb_status));
	done++;
}

int main(void)
{
	int numbers[MANY], count = 0;
	uint32_t ids[MANY];
	char name[16];

	start("one_block");
	for (int i = 0; i < MANY; i++) {
		int length = snprintf(name, sizeof(name), "%d", i % 40);

		numbers[i] = i;
		/* The last ten are taken. */
		CHECK(dlm_ls_lock(space, LKM_EXMODE, &lksb, LKF_NOQUEUE, name, length, 0, ast,
				  &numbers[i], NULL, NULL) == 0);
		ids[i] = lksb.sb_lkid;
		if (i % 2 || i >= 40)
			dispatch_until(space, &done, i + 1);
		held[i] = i < 40;
	}
	for (int i = 0; i < MANY; i++) {
		if (!held[i])
			continue;
		CHECK(dlm_ls_unlock(space, ids[i], 0, &lksb, &numbers[i]) == 0);
		count++;
		if (i % 2)
			dispatch_until(space, &done, MANY + count);
	}
	dispatch_until(space, &done, MANY + count);
	printf("%d ASTs\n", done);
	/* Calls that wait, one after the other. */
	start_thread(space);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%d", i);
		lock_wait(space, LKM_PRMODE, &lksb, 0, name);
		ids[i] = lksb.sb_lkid;
	}
	for (int i = 0; i < 40; i++) {
		CHECK(dlm_ls_unlock_wait(space, ids[i], 0, &lksb) == 0);
		CHECK(lksb.sb_status == EUNLOCK);
	}
	finish("one_block");
	return 0;
}
