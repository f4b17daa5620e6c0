/*
 * Named crash points. In an ordinary build FAULT_POINT() is nothing. A test
 * build defines SHMKV_FAULT_POINTS and supplies shmkv_fault_point(), which may end
 * the process, stop it, or count how often a point was passed.
 */
#ifndef SHMKV_FAULT_H
#define SHMKV_FAULT_H

#ifdef SHMKV_FAULT_POINTS
void shmkv_fault_point(const char *name);
#define FAULT_POINT(name) shmkv_fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
