# Counts requests together with workers in other languages: perl counter.pl SEGMENT REQUESTS

use strict;
use warnings;
use ShmKV;

my ($segment, $requests) = @ARGV;
my $kv = ShmKV->open($segment);
for (1 .. $requests) {
    $kv->incr('requests');
    $kv->incr('requests by perl');
    $kv->at_least('longest, us', 100 + $_);
}
