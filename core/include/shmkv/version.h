/*
 * Two numbers that change for different reasons: the library's version, which
 * follows its API, and the format revision, which follows spec/. Programs built
 * against any library version share a segment as long as the revision agrees.
 */
#ifndef SHMKV_VERSION_H
#define SHMKV_VERSION_H

#define SHMKV_VERSION_MAJOR 0
#define SHMKV_VERSION_MINOR 1
#define SHMKV_VERSION_PATCH 0
#define SHMKV_VERSION "0.1.0"

#define SHMKV_FORMAT_REVISION 1

#endif
