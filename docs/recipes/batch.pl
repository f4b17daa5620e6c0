# A long job that tells how far it is: perl batch.pl SEGMENT; see progress.py

use strict;
use warnings;
use ShmKV;

my ($segment) = @ARGV;
my $kv = ShmKV->open($segment);
my $rows = 2000;
for my $row (1 .. $rows) {
    # ... the work ...
    $kv->put(progress => { done => $row, of => $rows }) if $row % 100 == 0;
}
