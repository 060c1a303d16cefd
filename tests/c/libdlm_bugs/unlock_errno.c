/*
 * unlock_resource without a lockspace: the errno of the original is negative.
 *
 * Libraries: libdlm
 */

#include "check.h"

int main(void)
{
	limit();
	CHECK(unlock_resource(77) == -1);
	CHECK(errno == ENOTCONN);
	return 0;
}
