# Hands jobs to work.py: perl submit.pl SEGMENT JOBS

use strict;
use warnings;
use ShmKV;

my ($segment, $jobs) = @ARGV;
my $kv = ShmKV->open($segment);
for my $n (1 .. $jobs) {
    my $number = $kv->incr('last job');
    $kv->put(sprintf('job %012d', $number) => { numbers => [1 .. $n] });
}
$kv->incr('submitters done');
