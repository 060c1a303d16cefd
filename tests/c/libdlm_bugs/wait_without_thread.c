/*
 * Calls that wait, in the pthread build, without its thread: the original waits for ever.
 *
 * Libraries: libdlm
 */

#include "check.h"

int main(void)
{
	struct dlm_lksb a = { 0 };
	int id;

	start("no_thread");
	lock_wait(space, LKM_EXMODE, &a, 0, "r");
	unlock_wait(space, &a);
	CHECK(lock_resource("r", LKM_EXMODE, 0, &id) == 0);
	CHECK(unlock_resource(id) == 0);
	finish("no_thread");
	return 0;
}
