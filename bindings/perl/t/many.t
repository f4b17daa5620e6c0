# put_many, delete_many; cursors with prefixes and positions.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

subtest 'put_many' => sub {
    my $kv = ShmKV->open(segment());
    my %values = (text => "\x{e9}\x{263a}", bytes => "\0\xff", int => -5, float => 2.5, undef => undef,
        array => [1, 'two', undef], hash => { a => {} }, empty => '', long => 'x' x 100_000);
    ok $kv->put_many(\%values), 'a hash';
    is_deeply $kv->get_all, \%values, 'all with their types';
    $kv->clear;
    $kv->put_many([%values]);
    is $kv->get_size, scalar(keys %values), 'a list by reference';
    $kv->put_many(a => 1, b => 2, a => 3);
    is_deeply $kv->get_many(qw(a b)), { a => 3, b => 2 }, 'a list; the last of a key stays';
    ok $kv->put_many({}), 'nothing';
    ok $kv->put_many, 'nothing at all';
    tie my %tied, 'ShmKV', $kv->name;
    my $other = ShmKV->open(segment());
    $other->put_many(\%tied);
    is_deeply $other->get_all, $kv->get_all, 'a tied hash';
    my $overloaded = bless {}, 'Overloaded';
    $kv->put_many($overloaded => $overloaded);
    is $kv->get('as a string'), 'as a string', 'an object that is a string';
};

{
    package Overloaded;
    use overload '""' => sub { 'as a string' };
}

subtest 'put_many of something wrong stores nothing' => sub {
    my $kv = ShmKV->open(segment());
    for my $case (['', 1, 'BadKey'], [undef, 1, 'BadKey'], ["\x{263a}", 1, 'BadKey'], ['k', \1, 'BadValue'],
        ['k', 2**63, undef], ['k', [9**9**9], 'BadValue'])
    {
        my ($key, $value, $class) = @$case;
        next if !$class;
        my $error = died_with(sub { $kv->put_many([(map { ($_ => $_) } 1 .. 700), $key, $value, x => 1]) });
        isa_ok $error, "ShmKV::Error::$class", 'it:';
        is $kv->get_size, 0, 'nothing';
    }
    isa_ok died_with(sub { $kv->put_many('a') }), 'ShmKV::Error::BadArgument', 'half a pair:';
    isa_ok died_with(sub { $kv->put_many({ a => 1 }, tll => 1) }), 'ShmKV::Error::BadArgument', 'no such option:';
    isa_ok died_with(sub { $kv->put_many({ a => 1 }, ttl => -1) }), 'ShmKV::Error::BadArgument', 'ttl:';
    is $kv->get_size, 0, 'nothing';
    $kv->close;
    isa_ok died_with(sub { $kv->put_many(a => 1) }), 'ShmKV::Error::Closed', 'closed:';
};

subtest 'put_many without space' => sub {
    my $kv = ShmKV->open(segment(), max_size => 4 << 20);
    my $error = died_with(sub { $kv->put_many(map { ($_ => 'x' x 50_000) } 0 .. 199) });
    isa_ok $error, 'ShmKV::Error::NoSpace', 'it:';
    my $n = $kv->get_size;
    cmp_ok $n, '>', 10;
    is $error->done, $n, 'done';
    is died_with(sub { $kv->delete_many('') })->done, 0, 'none';
    is died_with(sub { $kv->delete('') })->done, undef, 'of another call';
    like $error->detail, qr/key "$n"; $n of 200 done/, 'tells how many';
};

subtest 'put_many with options' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put_many({ a => 1, b => 2 }, ttl => 0);
    ok !$kv->exists('a'), 'gone at once';
    $kv->put_many([a => 1, b => 2], ttl => 1000, bound => 1);
    ok $kv->get_item('b')->{bound}, 'bound';
    ok $kv->get_item('b')->{expires_ns}, 'with an end';
};

subtest 'delete_many' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put_many(map { ($_ => $_) } 0 .. 999);
    is $kv->delete_many(500 .. 1499), 500, 'how many there were';
    is $kv->delete_many, 0, 'none';
    isa_ok died_with(sub { $kv->delete_many(1, 2, '') }), 'ShmKV::Error::BadKey', 'a bad key:';
    is $kv->get_size, 500, 'and none is gone';
};

sub filled {
    my ($n) = @_;
    my $kv = ShmKV->open(segment());
    $kv->put_many(map { ($_ % 2 ? "user:$_" : "other:$_") => $_ } 0 .. $n - 1);
    return $kv;
}

subtest 'prefix' => sub {
    my $kv = filled(2000);
    my %users = map { ("user:$_" => $_) } grep { $_ % 2 } 0 .. 1999;
    is_deeply [sort $kv->keys(prefix => 'user:')], [sort keys %users], 'keys';
    is scalar($kv->keys(prefix => 'user:')), 1000, 'their number';
    is scalar($kv->keys), 2000, 'of all';
    my ($cursor, %seen) = $kv->cursor(prefix => 'user:');
    while (my ($key, $value) = $cursor->next) {
        $seen{$key} = $value;
    }
    is_deeply \%seen, \%users, 'cursor';
    is_deeply [$kv->keys(prefix => 'user:12345678')], [], 'of none';
    isa_ok died_with(sub { $kv->keys(prefix => 'x' x 65537) }), 'ShmKV::Error::BadKey', 'too long:';
    isa_ok died_with(sub { $kv->keys('user:') }), 'ShmKV::Error::BadArgument', 'no option:';
};

subtest 'position' => sub {
    my $kv = filled(2000);
    my ($position, %seen);
    while (1) {
        my $other  = ShmKV->open($kv->name, mode => 'readonly');
        my $cursor = $other->cursor(prefix => 'user:', position => $position, keys_only => 1);
        my $n = 0;
        while ($n < 70 and my ($key) = $cursor->next) {
            $seen{$key}++;
            $n++;
        }
        $position = $cursor->position;
        last if !$n;
        $kv->put_many(map { ("more:$n:$_:" . keys(%seen) => undef) } 1 .. 3000);
    }
    is length $position, 32, 'a position';
    is_deeply \%seen, { map { ("user:$_" => 1) } grep { $_ % 2 } 0 .. 1999 }, 'each once';
    is_deeply [$kv->cursor(position => $position)->next], [], 'at the end';
};

subtest 'position of a process that was killed' => sub {
    my $kv = filled(5000);
    pipe my $reader, my $writer or die "pipe: $!";
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        my $cursor = $kv->cursor;
        for (1 .. 1500) {
            my ($key) = $cursor->next;
            syswrite $writer, pack('A20 a32', $key, $cursor->position);
        }
        sleep;
        POSIX::_exit(1);
    }
    close $writer;
    my (%seen, $position);
    for (1 .. 1500) {
        read($reader, my $note, 52) == 52 or die 'short';
        (my $key, $position) = unpack 'A20 a32', $note;
        $seen{$key}++;
    }
    kill KILL => $pid;
    waitpid $pid, 0;
    $kv->put_many(map { ("more:$_" => $_) } 1 .. 60_000);
    my $cursor = $kv->cursor(position => $position, keys_only => 1);
    while (my ($key) = $cursor->next) {
        $seen{$key}++ if $key !~ /^more:/;
    }
    is scalar(keys %seen), 5000, 'all';
    is scalar(grep { $_ != 1 } values %seen), 0, 'once';
};

subtest 'what is no position' => sub {
    my $kv     = filled(100);
    my $cursor = $kv->cursor;
    $cursor->next;
    my $position = $cursor->position;
    for my $wrong ('', 'x', substr($position, 1), "${position}x", "\0" x 32, scalar reverse $position) {
        isa_ok died_with(sub { $kv->cursor(position => $wrong) }), 'ShmKV::Error::BadArgument', 'it:';
    }
    isa_ok died_with(sub { filled(1)->cursor(position => $position) }), 'ShmKV::Error::Stale', 'of another:';
    ShmKV->open($kv->name, mode => 'exclusive');
    isa_ok died_with(sub { $cursor->position }), 'ShmKV::Error::Stale', 'replaced:';
    isa_ok died_with(sub { $kv->cursor(position => $position) }), 'ShmKV::Error::Stale', 'and of the one before:';
    $cursor->close;
    isa_ok died_with(sub { $cursor->position }), 'ShmKV::Error::Closed', 'closed:';
};

done_testing;
