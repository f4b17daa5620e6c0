# Moves money between accounts, together with workers in other languages: perl transfer.pl SEGMENT TRANSFERS

use strict;
use warnings;
use List::Util qw(shuffle);
use ShmKV;

# Both balances change or none, whoever is killed when. Tells whether there was enough.
sub transfer {
    my ($kv, $from, $to, $amount) = @_;
    return $kv->transaction([$from, $to, 'transfers'], sub {
        my ($txn) = @_;
        return 0 if $txn->get($from) < $amount;
        $txn->put($from, $txn->get($from) - $amount);
        $txn->put($to, $txn->get($to) + $amount);
        $txn->put('transfers', $txn->get('transfers') + 1);
        return 1;
    });
}

my ($segment, $transfers) = @ARGV;
my $kv = ShmKV->open($segment);
for (1 .. $transfers) {
    my ($from, $to) = shuffle qw(alice bob carol);
    transfer($kv, $from, $to, 1 + int rand 100);
}
