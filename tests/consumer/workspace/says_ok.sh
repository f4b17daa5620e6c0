#!/bin/sh
# The program must say ok and nothing else, and succeed.
said=$("$1") || exit 1
echo "$1: $said"
[ "$said" = ok ]
