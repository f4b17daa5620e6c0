#!/bin/sh
exec "$1" --version
