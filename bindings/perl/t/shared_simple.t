# Shared::Simple: what its manual says, sentence by sentence.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use Shared::Simple;

subtest 'new: the modes are SHARED, the default, and EXCLUSIVE' => sub {
    isnt Shared::Simple::SHARED, Shared::Simple::EXCLUSIVE, 'two modes';
    my $name = segment();
    my $one = Shared::Simple->new($name);
    is ref $one, 'Shared::Simple', 'a blessed Shared::Simple';
    $one->put('k', 'v');
    is(Shared::Simple->new($name)->get('k'), 'v', 'without a mode: attaches to what exists');
    is(Shared::Simple->new($name, Shared::Simple::SHARED)->get('k'), 'v', 'SHARED: the same');
    is(Shared::Simple->new($name, undef)->get('k'), 'v', 'undef: the same');
};

subtest 'new: SHARED creates when there is nothing' => sub {
    my $name = segment();
    is(Shared::Simple->new($name, Shared::Simple::SHARED)->get_size, 0, 'an empty one');
    ok -e "/dev/shm/$name", 'of this name';
};

subtest 'new: EXCLUSIVE starts afresh' => sub {
    my $name = segment();
    is(Shared::Simple->new($name, Shared::Simple::EXCLUSIVE)->get_size, 0, 'creates');
    my $old = Shared::Simple->new($name);
    $old->put('k', 'v');
    my $new = Shared::Simple->new($name, Shared::Simple::EXCLUSIVE);
    is $new->get('k'), undef, 'what was there is gone';
    is $new->get_size, 0, 'all of it';
    is(Shared::Simple->new($name)->get('k'), undef, 'also for those who attach later');
    $new->put('k', 'w');
    is $old->get('k'), 'w', 'and for those who were attached';
};

subtest 'new: croaks on failure' => sub {
    my %bad = ('empty' => '', 'undefined' => undef, 'too long' => 'n' x 300, 'slash' => 'a/b', 'path' => '/tmp/x', 'NUL' => "a\0");
    for my $name (sort keys %bad) {
        for my $mode (Shared::Simple::SHARED, Shared::Simple::EXCLUSIVE) {
            like died_with(sub { Shared::Simple->new($bad{$name}, $mode) }), qr/ at \Q${\__FILE__}\E line /, "name, $name";
        }
    }
    like died_with(sub { Shared::Simple->new(segment(), 'both') }), qr/SHARED or Shared::Simple::EXCLUSIVE/, 'mode';
    like died_with(sub { Shared::Simple->new(segment(), 7) }), qr/SHARED or Shared::Simple::EXCLUSIVE/, 'mode';
    my $name = segment();
    open my $file, '>', "/dev/shm/$name" or die $!;
    print {$file} 'x' x 10_000;
    close $file or die $!;
    for my $mode (Shared::Simple::SHARED, Shared::Simple::EXCLUSIVE) {
        ok died_with(sub { Shared::Simple->new($name, $mode) }), 'a foreign object of this name';
    }
    is -s "/dev/shm/$name", 10_000, 'which is left alone';
    unlink "/dev/shm/$name" or die $!;
};

subtest 'new: the name may be as long as POSIX has it' => sub {
    my $name = segment();
    $name .= '-' x (254 - length $name);
    ok(Shared::Simple->new($name)->put('k', 'v'), 'NAME_MAX - 1 bytes');
    ShmKV->unlink($name);
};

my $shared = Shared::Simple->new(segment(), Shared::Simple::EXCLUSIVE);

subtest 'put: returns 1 and overwrites' => sub {
    is $shared->put('k', 'one'), 1, 'new';
    is $shared->put('k', 'two'), 1, 'replaced';
    is $shared->get('k'), 'two', 'the later one';
    is $shared->get_size, 1, 'one pair';
};

subtest 'put: both defined and not empty, the value at most 32 bytes' => sub {
    my @bad = (
        ['undefined key', undef, 'v'], ['empty key', '', 'v'], ['undefined value', 'k', undef], ['empty value', 'k', ''],
        ['value of 33 bytes', 'k', 'v' x 33], ['value of a megabyte', 'k', 'v' x 1_000_000]);
    for my $case (@bad) {
        my ($what, $key, $value) = @$case;
        my $error = died_with(sub { $shared->put($key, $value) }); my $line = __LINE__;
        like $error, qr/ at \Q${\__FILE__}\E line $line\.$/, "$what croaks, here";
    }
    is_deeply $shared->get_all, { k => 'two' }, 'nothing has changed';
    is $shared->put('full', 'v' x 32), 1, '32 bytes are fine';
    is $shared->get('full'), 'v' x 32, 'and come back';
    my $wide = "\xe9" x 32;
    utf8::upgrade($wide);
    is $shared->put('wide', $wide), 1, '32 characters up to 255 are 32 bytes, however Perl holds them';
    is $shared->get('wide'), "\xe9" x 32, 'and come back';
    is $shared->put("a\0b", "\0\xff"), 1, 'any bytes';
    is $shared->get("a\0b"), "\0\xff", 'come back';
};

subtest 'put: keys as long as they need to be' => sub {
    is $shared->put('k' x 1000, 'long'), 1, 'a thousand bytes';
    is $shared->get('k' x 1000), 'long', 'found again';
};

subtest 'get: the string, or undef when absent' => sub {
    is $shared->get('k'), 'two', 'the string';
    is $shared->get('absent'), undef, 'undef';
    my @list = $shared->get('absent');
    is scalar @list, 1, 'undef in a list, too';
    for my $bad (undef, '') {
        my $error = died_with(sub { $shared->get($bad) }); my $line = __LINE__;
        like $error, qr/bad key.* at \Q${\__FILE__}\E line $line\.$/, 'croaks on an undefined or empty key';
    }
};

subtest 'get_size: the number of pairs' => sub {
    my $own = Shared::Simple->new(segment());
    is $own->get_size, 0, 'none';
    $own->put("k$_", $_) for 1 .. 100;
    is $own->get_size, 100, 'a hundred';
    $own->put('k1', 'again');
    is $own->get_size, 100, 'overwriting adds none';
};

subtest 'get_all: a plain hash, a snapshot, independent afterwards' => sub {
    my $own = Shared::Simple->new(segment());
    is_deeply $own->get_all, {}, 'empty';
    $own->put("k$_", "v$_") for 1 .. 100;
    my $all = $own->get_all;
    is ref $all, 'HASH', 'a reference to a plain hash';
    is tied %$all, undef, 'that is not tied';
    is_deeply $all, { map { ("k$_" => "v$_") } 1 .. 100 }, 'every pair';
    $own->put('k1', 'changed');
    $own->put('new', 'pair');
    is $all->{k1}, 'v1', 'later writes do not show in it';
    ok !exists $all->{new}, 'nor new pairs';
    $all->{k2} = 'changed';
    delete $all->{k3};
    is $own->get('k2'), 'v2', 'nor do its changes go back';
    is $own->get('k3'), 'v3', 'nor its deletions';
    undef $own;
    is $all->{k4}, 'v4', 'and it outlives the object';
};

subtest 'get_all: under the lock' => sub {
    # A writer keeps two keys equal, as far as another can tell at one moment:
    # it always writes a before b, so that a snapshot has a == b or a == b + 1.
    my $own = Shared::Simple->new(segment());
    $own->put($_, 0 + 1) for qw(a b);
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        for (my $i = 2; ; $i++) { $own->put($_, $i) for qw(a b) }
    }
    my $torn = 0;
    for (1 .. 300) {
        my $all = $own->get_all;
        $torn++ unless $all->{a} == $all->{b} || $all->{a} == $all->{b} + 1;
    }
    kill 'KILL', $pid;
    waitpid $pid, 0;
    is $torn, 0, 'one moment for all keys';
};

subtest 'all operations are serialised' => sub {
    my $own = Shared::Simple->new(segment());
    my @pids;
    for my $worker (1 .. 4) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        if (!$pid) {
            my $good = eval { for (1 .. 500) { $own->put("$worker/$_", $_); $own->put('same', "worker $worker") } 1 };
            POSIX::_exit($good ? 0 : 1);
        }
        push @pids, $pid;
    }
    my $failed = grep { waitpid $_, 0; $? } @pids;
    is $failed, 0, 'four writers';
    is $own->get_size, 2001, 'every pair is there';
    like $own->get('same'), qr/\Aworker [1-4]\z/, 'and whole';
};

subtest 'a dead holder is recovered by the next caller' => sub {
    my $own = Shared::Simple->new(segment());
    for my $round (1 .. 10) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        if (!$pid) {
            while (1) { $own->put('k', 'x' x 32); $own->put('k', 'y' x 32) }
        }
        select undef, undef, undef, 0.01;
        kill 'KILL', $pid;
        waitpid $pid, 0;
        my $all = $own->get_all;
        like $all->{k} // 'x' x 32, qr/\A(x{32}|y{32}|round [0-9]+)\z/, "round $round: old or new";
        is $own->put('k', "round $round"), 1, 'and the next call works';
    }
};

subtest 'the segment outlives the object' => sub {
    my $name = segment();
    {
        my $own = Shared::Simple->new($name, Shared::Simple::EXCLUSIVE);
        $own->put('k', 'v');
    }
    ok -e "/dev/shm/$name", 'it is there';
    is(Shared::Simple->new($name)->get('k'), 'v', 'with what it held');
    ok in_child(sub { Shared::Simple->new($name)->get('k') eq 'v' }), 'for other processes, too';
};

subtest 'fork after the parent\'s EXCLUSIVE, SHARED in each child' => sub {
    my $name = segment();
    my $own = Shared::Simple->new($name, Shared::Simple::EXCLUSIVE);
    for my $child (1 .. 3) {
        ok in_child(sub { Shared::Simple->new($name, Shared::Simple::SHARED)->put("child $child", $$) }), "child $child";
    }
    is $own->get_size, 3, 'the parent sees all of them';
};

subtest 'an object that was opened before the fork' => sub {
    my $own = Shared::Simple->new(segment(), Shared::Simple::EXCLUSIVE);
    $own->put('parent', 'before');
    ok in_child(sub { $own->get('parent') eq 'before' && $own->put('child', 'yes') && $own->get_size == 2 }),
        'works in the child';
    is $own->get('child'), 'yes', 'and goes on working in the parent';
    is $own->put('parent', 'after'), 1, 'which can still write';
};

subtest 'nothing else is in the class' => sub {
    my @methods = grep { Shared::Simple->can($_) } qw(put get get_size get_all new);
    is scalar @methods, 5, 'what the manual has';
    ok !Shared::Simple->can($_), "no $_" for qw(delete exists keys unlink);
};

subtest 'ShmKV and others see the same segment' => sub {
    my $name = segment();
    my $own = Shared::Simple->new($name);
    $own->put('k', 'v');
    my $kv = ShmKV->open($name);
    is $kv->get('k'), 'v', 'what was put';
    $kv->put('long', 'x' x 100);
    is $own->get('long'), 'x' x 100, 'and longer values can be read';
    ok(ShmKV->unlink($name), 'and it can be removed');
};

done_testing;
