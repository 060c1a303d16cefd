# A holder is notified once for each mode that is higher than those before.
shows only-a-higher-mode-notifies-again
open a b
a lock A "r" EX
a gets A granted
b lock B "r" PR noqueue noqueuebast
b gets B again
a gets A blocking PR
b lock B "r" PR noqueue noqueuebast
b gets B again
b lock B "r" CR noqueue noqueuebast
b gets B again
a gets nothing
b lock B "r" PW noqueue noqueuebast
b gets B again
a gets A blocking PW
b lock B "r" EX noqueue noqueuebast
b gets B again
a gets A blocking EX
b lock B "r" EX noqueue noqueuebast
b gets B again
a gets nothing
