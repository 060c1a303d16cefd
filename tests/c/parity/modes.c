/*
 * The permissions of the node of a new lockspace: those that were asked for, whatever the umask; 0 leaves
 * them as the system makes them. Flags that mean nothing to a program are taken.
 *
 * Not on dlm-engine: it has no nodes.
 * Libraries: libdlm libdlm_lt
 */

#include "check.h"

static void try(mode_t mode, uint32_t flags)
{
	struct stat node;

	space = dlm_new_lockspace("modes", mode, flags);
	CHECK(space);
	CHECK(stat("/dev/dlm_modes", &node) == 0);
	printf("%o flags %x: %o\n", mode, flags, node.st_mode & 07777);
	finish("modes");
}

int main(void)
{
	static const mode_t modes[] = { 0600, 0666, 0660, 0640, 0444, 0 };

	limit();
	umask(077);
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		try(modes[i], 0);
	try(0600, DLM_LSFL_TIMEWARN);
	return 0;
}
