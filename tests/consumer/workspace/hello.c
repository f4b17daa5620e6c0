#include <shmkv/shmkv.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static int fail(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, shmkv_strerror(err));
	return 1;
}

int main(void)
{
	char name[64];
	char value[16];
	size_t value_len = 0;
	shmkv_t *kv = NULL;
	int err;

	unsigned long long id;
	if (getrandom(&id, sizeof id, 0) != sizeof id)
		return 1;
	snprintf(name, sizeof name, "shmkv-consumer-c-%016llx", id);
	if ((err = shmkv_open(name, NULL, &kv)) != 0)
		return fail("open", err);
	if ((err = shmkv_put(kv, "k", 1, "v", 1)) != 0)
		return fail("put", err);
	if ((err = shmkv_get(kv, "k", 1, value, sizeof value, &value_len)) != 0)
		return fail("get", err);
	if (value_len != 1 || memcmp(value, "v", 1) != 0)
		return fail("compare", 0);
	if ((err = shmkv_close(kv)) != 0)
		return fail("close", err);
	if ((err = shmkv_unlink(name)) != 0)
		return fail("unlink", err);
	puts("ok");
	return 0;
}
