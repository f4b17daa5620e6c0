// A C++ program against the C library: it is declared extern "C" or this does not link.
#include <shmkv/shmkv.h>

#include <cstdio>

int main()
{
	std::printf("error 0 in words: %s\n", shmkv_strerror(0));
	return 0;
}
