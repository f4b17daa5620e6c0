# Waiting for changes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;
use Time::HiRes qw(ualarm);

use ShmKV;

subtest 'wait' => sub {
    my $kv = ShmKV->open(segment());
    ok $kv->wait('k', version => 1), 'another already';
    $kv->put('k', 1);
    my $version = $kv->get_item('k')->{version};
    ok !$kv->wait('k', version => $version, timeout => 0), 'the same';
    ok !$kv->wait('k', timeout => 0.01), 'time is up';
    ok $kv->wait('k', version => 0), 'it is there';
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        POSIX::_exit(eval { $kv->wait('k', version => $version) } ? 0 : 1);
    }
    $kv->put('k', 2);
    waitpid $pid, 0;
    is $?, 0, 'woken by a change';
};

subtest 'watch' => sub {
    my $kv = ShmKV->open(segment());
    my ($changed, $position) = $kv->watch(0, timeout => 0);
    ok !$changed, 'nothing yet';
    $kv->put('k', 1);
    ($changed, $position) = $kv->watch($position);
    ok $changed, 'something has';
    is_deeply [$kv->watch($position, timeout => 0.01)], [!!0, $position], 'time is up';
};

subtest 'signal handlers' => sub {
    my $kv = ShmKV->open(segment());
    my $wide = "\xe9";
    utf8::upgrade($wide);
    local $SIG{ALRM} = sub { die "handler\n" };
    ualarm 50_000;
    is died_with(sub { $kv->wait($wide) }), "handler\n", 'may die';
    ualarm 50_000;
    is died_with(sub { $kv->watch }), "handler\n", 'also in watch';
    local $SIG{ALRM} = sub { $kv->put('seen', 1) };
    ualarm 50_000;
    ok $kv->wait('seen'), 'or go on';
    is_deeply $kv->verify, [], 'the segment is sound';
};

subtest 'locks' => sub {
    my $kv    = ShmKV->open(segment());
    my $other = ShmKV->open($kv->name);
    is_deeply [$kv->lock('l', sub { ($_[0] > 0, 2) })], [!!1, 2], 'gives what the sub does';
    is died_with(sub {
        $kv->lock('l', sub {
            isa_ok died_with(sub { $other->lock('l', sub { }, timeout => 0) }), 'ShmKV::Error::TimedOut';
            isa_ok died_with(sub { $kv->lock('l', sub { }) }), 'ShmKV::Error::Deadlock';
            die "sub\n";
        });
    }), "sub\n", 'what it dies with';
    is scalar $other->lock('l', sub { 5 }, timeout => 0), 5, 'and lets the lock go';
    local $SIG{ALRM} = sub { die "handler\n" };
    $other->lock('l', sub {
        ualarm 50_000;
        is died_with(sub { $kv->lock('l', sub { }) }), "handler\n", 'a handler may die';
    });
    my $lost = died_with(sub { $kv->lock('l', sub { ShmKV->open($kv->name, mode => 'exclusive') }) });
    isa_ok $lost, 'ShmKV::Error::Changed';
    like $lost, qr/lock was lost/, 'and says so';
    isa_ok died_with(sub { $kv->lock('l') }), 'ShmKV::Error::BadArgument';
    is $kv->get_or_compute('k', sub { 5 }, ttl => 1000), 5, 'computed';
    is $kv->get_or_compute('k', sub { die }), 5, 'got';
    ok $kv->get_item('k')->{expires_ns}, 'with its end';
    is died_with(sub { $kv->get_or_compute('bad', sub { die "sub\n" }) }), "sub\n", 'dies';
    is $kv->get_or_compute('bad', sub { undef }, timeout => 0), undef, 'the next one computes';
};

subtest 'what cannot be waited for' => sub {
    my $kv = ShmKV->open(segment());
    isa_ok died_with(sub { $kv->wait('k', timeout => -1) }), 'ShmKV::Error::BadArgument';
    isa_ok died_with(sub { $kv->wait('k', until => 1) }), 'ShmKV::Error::BadArgument';
    my $reader = ShmKV->open($kv->name, mode => 'readonly');
    isa_ok died_with(sub { $reader->wait('k') }), 'ShmKV::Error::ReadOnly';
    $kv->freeze;
    isa_ok died_with(sub { $kv->wait('k') }), 'ShmKV::Error::Frozen';
    $kv->close;
    isa_ok died_with(sub { $kv->wait('k') }), 'ShmKV::Error::Closed';
    isa_ok died_with(sub { $kv->watch }), 'ShmKV::Error::Closed';
};

done_testing;
