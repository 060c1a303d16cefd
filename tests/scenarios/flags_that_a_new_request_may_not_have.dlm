# Flags of conversions and cancels, and EXPEDITE with anything but a plain NL.
shows flags-refused-on-a-request
open a
a lock A "r" PR quecvt -> EINVAL
a lock A "r" PR convdeadlk -> EINVAL
a lock A "r" PR cancel -> EINVAL
a lock A "r" EX expedite -> EINVAL
a lock A "r" CR expedite -> EINVAL
a lock A "r" NL expedite noqueue -> EINVAL
a lock A "r" NL expedite quecvt -> EINVAL
a gets nothing
queues "r" none
a lock A "r" NL expedite
a gets A granted
