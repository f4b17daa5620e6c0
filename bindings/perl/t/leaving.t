# Whichever way a sub that we call is left: nothing stays locked, nothing has changed, and the next call works.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;
use Time::HiRes qw(time ualarm);

use ShmKV;

my $kv = ShmKV->open(segment());
$kv->put_many({ n => 7, t => "te\x{263a}t" });
ShmKV->open($kv->name, codec => [sub { 'made' }, sub { $_[0] }])->put(coded => sub { });
my $other = ShmKV->open($kv->name);
my $was   = items();

sub items { return { map { $_ => $kv->get_item($_) } $kv->keys } }

sub held {
    my @lines = qx("$ENV{SHMKV_INSPECT}" held @{[$kv->name]});
    die "shmkv-inspect: $?" if $?;
    return @lines[1 .. $#lines];
}

sub nothing_stays {
    my ($message) = @_;

    my @left = (held(), grep { $_->{owner} } @{ $kv->locks });
    push @left, @{ $kv->verify };
    is_deeply [\@left, items()], [[], $was], "$message: nothing stays, nothing has changed";
    return;
}

sub the_next_call_works {
    for my $store ($kv, $other) {
        my $held = $store->lock('n', sub { $store->lock('other', sub { $store->lock('none', sub { scalar(my @all = held()) }, timeout => 0) },
                    timeout => 0) }, timeout => 0);
        is $held, 3, 'locks';
        is $store->get_or_compute('next', sub { 5 }, timeout => 0), 5, 'get_or_compute';
        is $store->modify('next', sub { $_[0] + 1 }), 6, 'modify';
        ok $store->transaction(['next'], sub { $_[0]->delete('next') }), 'transaction';
    }
    return;
}

sub in_transaction {
    my ($leave) = @_;

    return $kv->transaction(['n', 't'], sub { $_[0]->put('n', 8); $_[0]->delete('t'); $leave->() });
}

sub coded {
    my ($leave, $use) = @_;

    return $use->(ShmKV->open($kv->name, codec => [$leave, $leave]));
}

my %calls = (
    modify => sub { my ($leave) = @_; $kv->modify('n', $leave) },
    'modify, absent' => sub { my ($leave) = @_; $kv->modify('none', $leave) },
    get_or_compute => sub { my ($leave) = @_; $kv->get_or_compute('none', $leave) },
    lock => sub { my ($leave) = @_; $kv->lock('n', $leave) },
    'two locks' => sub { my ($leave) = @_; $kv->lock('n', sub { $kv->lock('other', $leave) }) },
    transaction => \&in_transaction,
    'transaction in lock' => sub { my ($leave) = @_; $kv->lock('n', sub { in_transaction($leave) }) },
    'lock in transaction' => sub { my ($leave) = @_; $kv->transaction(['n'], sub { $kv->lock('n', $leave) }) },
    'transaction in transaction' => sub { my ($leave) = @_; $kv->transaction(['n'], sub { $_[0]->put('n', 9); in_transaction($leave) }) },
    each => sub { my ($leave) = @_; while (my @pair = $kv->each) { $leave->() } },
    cursor => sub { my ($leave) = @_; my $cursor = $kv->cursor; while (my @pair = $cursor->next) { $leave->() } },
    tie => sub { my ($leave) = @_; tie my %h, 'ShmKV', $kv->name; while (my @pair = each %h) { $leave->() } },
    'codec, put' => sub { coded($_[0], sub { $_[0]->put('n', sub { }) }) },
    'codec, set' => sub { coded($_[0], sub { $_[0]->set('n', sub { }, ttl => 5) }) },
    'codec, put_many' => sub { coded($_[0], sub { $_[0]->put_many({ none => sub { } }) }) },
    'codec, modify' => sub { coded($_[0], sub { $_[0]->modify('n', sub { sub { } }) }) },
    'codec, transaction' => sub { coded($_[0], sub { $_[0]->transaction(['n'], sub { $_[0]->put('n', sub { }) }) }) },
    'codec, get_or_compute' => sub { coded($_[0], sub { $_[0]->get_or_compute('none', sub { sub { } }) }) },
    'codec, get' => sub { coded($_[0], sub { $_[0]->get('coded') }) },
    'codec, get_item' => sub { coded($_[0], sub { $_[0]->get_item('coded') }) },
    'codec, get_all' => sub { coded($_[0], sub { $_[0]->get_all }) },
    'codec, txn.get' => sub { coded($_[0], sub { $_[0]->transaction(['coded'], sub { $_[0]->get('coded') }) }) },
);

my $object = bless { gone => 1 }, 'Gone';
my %leavings = (
    'die with text' => [sub { die "gone\n" }, sub { is $_[0], "gone\n", $_[1] }],
    'die with an object' => [sub { die $object }, sub { is $_[0], $object, $_[1] }],
    'an error of our own' => [sub { ShmKV->open('a/b') }, sub { isa_ok $_[0], 'ShmKV::Error::BadName', $_[1] }],
    'a signal handler that dies' => [
        sub { local $SIG{ALRM} = sub { die "handler\n" }; ualarm 1000; while (1) { select undef, undef, undef, 1 } },
        sub { is $_[0], "handler\n", $_[1] }
    ],
);

for my $how (sort keys %leavings) {
    my ($leave, $check) = @{ $leavings{$how} };
    subtest $how => sub {
        for my $name (sort keys %calls) {
            $check->(died_with(sub { $calls{$name}->($leave) }), $name);
            nothing_stays($name);
        }
        the_next_call_works();
    };
}

subtest 'last, next and goto do not get out' => sub {
    no warnings 'exiting';
    my %one = map { $_ => $calls{$_} } grep { !/modify|each|cursor|tie|codec/ } keys %calls;
    for my $name (sort keys %one) {
        for my $leave (sub { last }, sub { next }, sub { goto OUT }) {
            my $error;
            for my $once (1) {
                $error = died_with(sub { $one{$name}->($leave) });
            }
            like $error, qr/outside a loop|Can't/, "$name: $error";
            nothing_stays($name);
        }
    }
    OUT: the_next_call_works();
};

subtest 'last out of what holds nothing' => sub {
    no warnings 'exiting';
    my $runs = 0;
    for my $once (1, 2) {
        $kv->modify('n', sub { $runs++; last });
        fail('last goes on');
    }
    is $runs, 1, 'last in modify leaves the loop around it';
    for my $once (1, 2) {
        $kv->modify('n', sub { $runs++; next });
        fail('next goes on');
    }
    is $runs, 3, 'and next goes on there';
    nothing_stays('modify');
    while (my @pair = $kv->each) { last }
    nothing_stays('each');
    my $cursor = $kv->cursor;
    while (my @pair = $cursor->next) { last }
    nothing_stays('cursor');
    the_next_call_works();
};

subtest 'return, in each context' => sub {
    is scalar $kv->lock('n', sub { return 5 }), 5, 'a scalar';
    is_deeply [$kv->lock('n', sub { return (5, 6) })], [5, 6], 'a list';
    is_deeply [$kv->lock('n', sub { return })], [], 'nothing';
    is_deeply [$kv->lock('n', sub { wantarray })], [1], 'the sub knows';
    is scalar $kv->lock('n', sub { defined wantarray && !wantarray }), 1, 'also this';
    nothing_stays('return');
};

subtest 'a child that leaves does not let the parent\'s lock go' => sub {
    my $parent = $$;
    my $left   = eval {
        $kv->lock('n', sub {
            my $pid = fork // die "fork: $!";
            return 'child' if !$pid;
            waitpid $pid, 0;
            is $?, 0, 'the child cannot';
            isa_ok died_with(sub { $other->lock('n', sub { }, timeout => 0) }), 'ShmKV::Error::TimedOut', 'it is held';
            return 'parent';
        });
    };
    my $error = $@;
    POSIX::_exit(!defined $left && ref $error && $error->isa('ShmKV::Error::Changed') ? 0 : 1) if $$ != $parent;
    is $left, 'parent', 'only one comes out';
    nothing_stays('fork');
    the_next_call_works();
};

subtest 'close inside' => sub {
    my $mine = ShmKV->open($kv->name);
    isa_ok died_with(sub { $mine->lock('n', sub { $mine->close }) }), 'ShmKV::Error::Closed', 'close';
    $mine = ShmKV->open($kv->name);
    is died_with(sub { $mine->lock('n', sub { $mine->close; die "gone\n" }) }), "gone\n", 'what it died with says more';
    $mine = ShmKV->open($kv->name);
    eval { $mine->lock('n', sub { undef $mine; 1 }) };
    nothing_stays('close');
};

# Before this was in C, three of ten were in between, and the lock stayed.
subtest 'a handler that dies at any point of taking and letting go' => sub {
    local $SIG{ALRM} = sub { die "handler\n" };
    srand 1;
    my $stayed = 0;
    for (1 .. 300) {
        eval {
            ualarm 50 + int rand 400;
            my $end = time + 60;
            while (time < $end) {
                $kv->lock('n', sub { });
            }
        };
        $stayed++ if $@ ne "handler\n" || !eval { $other->lock('n', sub { 1 }, timeout => 0) };
    }
    is $stayed, 0, 'none stays';
    nothing_stays('handlers');
};

done_testing;
