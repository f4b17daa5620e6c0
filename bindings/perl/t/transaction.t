# Several keys that change together or not at all.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

# The error, after a look that nothing has changed.
sub refused {
    my ($kv, $keys, $code) = @_;

    my $before = $kv->get_all;
    my $error  = died_with(sub { $kv->transaction($keys, $code) });
    is_deeply $kv->get_all, $before, 'nothing has changed';
    return $error;
}

subtest 'together' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put('a', 100);
    $kv->put('gone', 'x');
    my $result = $kv->transaction(['a', 'b', 'gone', "\xe9"], sub {
        my ($txn) = @_;
        isa_ok $txn, 'ShmKV::Transaction';
        $txn->put('a', $txn->get('a') - 10);
        ok $txn->put('b', { list => [1, "\x{263a}"] }), 'put';
        ok $txn->delete('gone'), 'delete';
        my $wide = "\xe9";
        utf8::upgrade($wide);
        $txn->put($wide, undef);
        ok $txn->exists("\xe9"), 'one key in two forms';
        return 'done';
    });
    is $result, 'done', 'what the sub returns';
    is_deeply $kv->get_all, { a => 90, b => { list => [1, "\x{263a}"] }, "\xe9" => undef }, 'all is stored';
};

subtest 'what it sees' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put('a', 1);
    my ($kept, @calls);
    $kv->transaction(['a', 'b'], sub {
        my ($txn) = $kept = $_[0];
        push @calls, $txn->get('a');
        in_child(sub { $kv->put('a', 50) }) if @calls == 1;    # no lock is held
        ok !$txn->exists('b'), 'b is not there';
        is $txn->get('b'), undef, 'nor has it a value';
        ok !$txn->delete('b'), 'nor can it go';
        $txn->set('b', $txn->get('a') + 1, ttl => 60);
        is $txn->get('b'), $calls[-1] + 1, 'it sees its own changes';
        like died_with(sub { $txn->$_('c') }), qr/not given to the transaction/, "$_ of another key"
            for qw(get exists delete);
    });
    is_deeply \@calls, [1, 50], 'it runs again if a key has changed';
    is $kv->get('b'), 51, 'on fresh values';
    ok $kv->get_item('b')->{expires_ns}, 'which end';
    my $error = died_with(sub { $kept->get('a') });
    isa_ok $error, 'ShmKV::Error::BadArgument';
    like $error, qr/not running/, 'afterwards it is of no use';
};

subtest 'ways out' => sub {
    my $kv = ShmKV->open(segment(), lock_timeout_ms => 100);
    $kv->put('a', 1);
    my $reason = { why => 'my own' };
    is refused($kv, ['a', 'b'], sub { $_[0]->put('a', 2); die $reason }), $reason, 'die';
    ok in_child(sub { $kv->put('b', 3) }), 'nothing is left locked';
    isa_ok refused($kv, ['a'], sub { $_[0]->put('a', sub { }) }), 'ShmKV::Error::BadValue';
    my $after = 0;
    for my $once (1) {
        no warnings 'exiting';
        like refused($kv, ['a'], sub { $_[0]->put('a', 2); last }), qr/Can't "last" outside a loop/, 'last';
        like refused($kv, ['a'], sub { $_[0]->put('a', 2); next }), qr/Can't "next" outside a loop/, 'next';
        $after++;
    }
    is $after, 1, 'the loop around it goes on';
    my $calls = 0;
    isa_ok died_with(sub { $kv->transaction(['a', 'b'], sub { $kv->put('a', ++$calls); $_[0]->put('b', 9) }) }),
        'ShmKV::Error::Busy';
    ok $calls > 1, 'not at once';
    is $kv->get('b'), 3, 'and not by half';
    is_deeply $kv->verify, [], 'the segment is sound';
    my $other = ShmKV->open($kv->name);
    isa_ok died_with(sub { $kv->transaction(['b'], sub { $_[0]->put('b', 4); $kv->close }) }), 'ShmKV::Error::Closed';
    is $other->get('b'), 3, 'closed by the sub: nothing has changed';
    isa_ok died_with(sub { $kv->transaction(['b'], sub { }) }), 'ShmKV::Error::Closed';
};

subtest 'inside each other' => sub {
    my $kv = ShmKV->open(segment());
    $kv->transaction(['a'], sub {
        my ($txn) = @_;
        $txn->put('a', $kv->transaction(['b'], sub { $_[0]->put('b', 1); 5 }));
        $kv->put('c', 1);
    });
    is_deeply $kv->get_all, { a => 5, b => 1, c => 1 }, 'each by itself';
};

subtest 'misuse' => sub {
    my $kv = ShmKV->open(segment());
    my $sub = sub { };
    isa_ok refused($kv, @$_), 'ShmKV::Error::BadArgument'
        for [[], $sub], [['a', 'a'], $sub], [[1 .. 1025], $sub], ['a', $sub], [['a'], 5];
    isa_ok refused($kv, ['a', ''], $sub), 'ShmKV::Error::BadKey';
    my $reading = ShmKV->open($kv->name, mode => 'readonly');
    isa_ok refused($reading, ['a'], sub { $_[0]->put('a', 1) }), 'ShmKV::Error::ReadOnly';
};

subtest 'codec' => sub {
    my $kv = ShmKV->open(segment(), codec => [sub { ref $_[0] }, sub { "made of $_[0]" }]);
    my $made = $kv->transaction(['a'], sub { $_[0]->put('a', bless [], 'Some::Class'); $_[0]->get('a') });
    is $made, 'made of Some::Class', 'inside';
    is $kv->get('a'), 'made of Some::Class', 'and outside';
    no warnings 'exiting';
    for my $once (1) {
        my $odd = ShmKV->open($kv->name, codec => [sub { last }, sub { '' }]);
        like died_with(sub { $odd->put('b', bless [], 'Some::Class') }), qr/Can't "last" outside a loop/, 'last in a codec';
    }
};

done_testing;
