/*
 * A thousand locks at a time, whose ids are used again and again.
 *
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

#define MANY 1000

static struct dlm_lksb locks[MANY];
static int done;

int main(void)
{
	char name[16];

	start("many");
	for (int round = 0; round < 5; round++) {
		done = 0;
		for (int i = 0; i < MANY; i++) {
			int length = snprintf(name, sizeof(name), "%d", i);

			CHECK(dlm_ls_lock(space, i % 6, &locks[i], 0, name, length, 0, count_ast,
					  &done, NULL, NULL) == 0);
		}
		dispatch_until(space, &done, MANY);
		for (int i = 0; i < MANY; i++) {
			CHECK(locks[i].sb_status == 0 && locks[i].sb_lkid != 0);
			CHECK(dlm_ls_unlock(space, locks[i].sb_lkid, 0, &locks[i], &done) == 0);
		}
		dispatch_until(space, &done, 2 * MANY);
		for (int i = 0; i < MANY; i++)
			CHECK(locks[i].sb_status == EUNLOCK);
	}
	finish("many");
	return 0;
}
