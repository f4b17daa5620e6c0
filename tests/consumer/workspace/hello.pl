use strict;
use warnings;
use ShmKV;

my $name = "shmkv-consumer-perl-$$";
my $kv = ShmKV->open($name);
$kv->put("k", "v");
die "read something else\n" unless $kv->get("k") eq "v";
undef $kv;
ShmKV->unlink($name);
print "ok\n";
