/*
 * Creating a lockspace that exists leaves the permissions of its node as they are: others use it.
 *
 * Not on dlm-engine: there are no nodes.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

int main(void)
{
	struct stat node;
	dlm_lshandle_t second;

	limit();
	space = dlm_create_lockspace("permissions", 0660);
	CHECK(space);
	second = dlm_create_lockspace("permissions", 0600);
	CHECK(second);
	CHECK(stat("/dev/dlm_permissions", &node) == 0);
	CHECK((node.st_mode & 0777) == 0660);
	CHECK(dlm_close_lockspace(second) == 0);
	finish("permissions");
	return 0;
}
