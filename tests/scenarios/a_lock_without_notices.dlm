# None without an address; a conversion that brings one brings the notice.
shows no-address-no-notices
open a b
a lock A "r" EX baddr=0
a gets A granted
b lock B "r" PR
a gets nothing
a convert A EX
a gets A granted
a gets A blocking PR
