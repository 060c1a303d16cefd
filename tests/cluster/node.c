/*
 * One node's part in a test of a cluster: `node LOCKSPACE RESOURCE` locks as it is told, line by
 * line, and says what happens. The other end is tests/cluster/c.rs.
 *
 *     lock MODE               asks for a lock with its value block
 *     convert MODE [TEXT]     TEXT: the block to store, if the mode that is left can write
 *     unlock
 */

#include "../c/check.h"

static const char *const modes[] = { "NL", "CR", "CW", "PR", "PW", "EX" };

static const char *resource;
static char block[DLM_LVB_LEN];
static struct dlm_lksb lksb = { .sb_lvbptr = block };

static uint32_t mode_named(const char *name)
{
	for (uint32_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++)
		if (strcmp(modes[mode], name) == 0)
			return mode;
	fprintf(stderr, "no mode %s\n", name);
	exit(1);
}

static void ended(void *what)
{
	const char *valid = lksb.sb_flags & DLM_SBF_VALNOTVALID ? "invalid" : "valid";

	printf("%s: %s [%.*s] %s\n", (const char *)what, status_name(lksb.sb_status), DLM_LVB_LEN,
	       block, valid);
	fflush(stdout);
}

static void blocks(void *what)
{
	(void)what;
	printf("blocks\n");
	fflush(stdout);
}

static void obey(char *line)
{
	char *word = strtok(line, " \n"), *mode = strtok(NULL, " \n"), *text = strtok(NULL, " \n");
	uint32_t flags = LKF_VALBLK;

	if (word && mode && strcmp(word, "lock") == 0) {
		memset(block, 0, sizeof(block));
		CHECK(dlm_ls_lock(space, mode_named(mode), &lksb, flags, resource,
				  strlen(resource), 0, ended, "lock", blocks, NULL) == 0);
	} else if (word && mode && strcmp(word, "convert") == 0) {
		flags |= LKF_CONVERT;
		if (text)
			strncpy(block, text, sizeof(block));
		CHECK(dlm_ls_lock(space, mode_named(mode), &lksb, flags, NULL, 0, 0, ended,
				  "convert", blocks, NULL) == 0);
	} else if (word && strcmp(word, "unlock") == 0) {
		CHECK(dlm_ls_unlock(space, lksb.sb_lkid, 0, &lksb, "unlock") == 0);
	} else {
		fprintf(stderr, "what is %s?\n", word);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct pollfd sets[2] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN } };
	char line[100];

	CHECK(argc == 3);
	resource = argv[2];
	/* One line at a time: what is behind it shall be seen by poll. */
	setvbuf(stdin, NULL, _IONBF, 0);
	space = dlm_open_lockspace(argv[1]);
	if (!space)
		space = dlm_create_lockspace(argv[1], 0600);
	CHECK(space);
	printf("ready\n");
	fflush(stdout);
	sets[1].fd = dlm_ls_get_fd(space);
	for (;;) {
		CHECK(poll(sets, 2, -1) > 0);
		if (sets[1].revents)
			CHECK(dlm_dispatch(sets[1].fd) == 0);
		if (sets[0].revents) {
			if (!fgets(line, sizeof(line), stdin))
				return 0;
			obey(line);
		}
	}
}
