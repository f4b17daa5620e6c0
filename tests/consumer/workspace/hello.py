import os

import shmkv

name = "shmkv-consumer-python-%d" % os.getpid()
kv = shmkv.open(name, "c")
kv[b"k"] = b"v"
assert kv[b"k"] == b"v"
kv.close()
shmkv.unlink(name)
print("ok")
