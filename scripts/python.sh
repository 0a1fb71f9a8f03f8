#!/bin/sh
# Prints the name of a Python that is 3.11 or newer: $PYTHON if set, else python3, else the newest python3.N found.
# Exit status 1 with one message when there is none.

recent='import sys; sys.exit(sys.version_info < (3, 11))'

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$recent" >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done

found=$("${PYTHON:-python3}" --version 2>&1)
echo "vapo needs Python 3.11 or newer; ${PYTHON:-python3} is: ${found:-not installed}." >&2
echo "Install Python 3.11 or newer, or name one you have: PYTHON=python3.12 make ..." >&2
exit 1
