# Freeze and sync, dump and load, and many keys at once.

use strict;
use warnings;
use utf8;

use File::Temp ();
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

my %entries = (
    bytes => "\0\xff",
    text  => 'café ☺',
    int   => -1,
    float => 1.5,
    undef => undef,
    json  => { a => [1, undef] },
);
my $folder = File::Temp->newdir;
my $path   = "$folder/dump";

sub filled {
    my $kv = ShmKV->open(segment());
    $kv->put($_ => $entries{$_}) for keys %entries;
    return $kv;
}

sub loaded {
    my ($file) = @_;

    my $kv = ShmKV->open(segment());
    is($kv->load($file), keys %entries, 'load tells how many');
    return $kv->get_all;
}

subtest 'a file by its name' => sub {
    my $kv = filled();
    is($kv->dump($path), keys %entries, 'dump tells how many');
    is_deeply(loaded($path), \%entries, 'all is there');
    is((stat $path)[2] & 0777, 0600, 'nobody else may read it');
    my $victim = ShmKV->open(segment(), stay => 1);
    ShmKV->open($victim->name, mode => 'exclusive');
    isa_ok(died_with(sub { $victim->dump($path) }), 'ShmKV::Error::Stale');
    is_deeply(loaded($path), \%entries, 'a dump that fails leaves the older file');
    is_deeply([glob "$folder/*"], [$path], 'and nothing beside it');
};

subtest 'files that cannot be opened are named' => sub {
    my $kv = filled();
    for my $method (qw(dump load)) {
        my $error = died_with(sub { $kv->$method("$folder/none/dump") });
        isa_ok($error, 'ShmKV::Error::SystemFailure');
        is($error->code, 2, "$method: no such file");
        like($error->detail, qr{\Q$folder/none/dump\E}, 'named');
        is($error->line, __LINE__ - 4, 'at the line of the caller');
        isa_ok(died_with(sub { $kv->$method("nul\0byte") }), 'ShmKV::Error::BadArgument');
        isa_ok(died_with(sub { $kv->$method([]) }), 'ShmKV::Error::BadArgument');
        isa_ok(died_with(sub { $kv->$method($path, wrong => 1) }), 'ShmKV::Error::BadArgument');
        open my $memory, '+<', \my $string or die $!;
        isa_ok(died_with(sub { $kv->$method($memory) }), 'ShmKV::Error::BadArgument');
    }
};

subtest 'open files before and behind other bytes' => sub {
    my $kv = filled();
    open my $file, '+>:raw', $path or die $!;
    print $file 'before';
    $kv->dump($file);
    $kv->dump($file, snapshot => 1);
    print $file 'behind';
    close $file or die $!;
    open $file, '<:raw', $path or die $!;
    read $file, my $before, 6;
    is($before, 'before', 'what was read');
    is_deeply(loaded($file), \%entries, 'a dump');
    is_deeply(loaded($file), \%entries, 'another');
    is(do { local $/; <$file> }, 'behind', 'and what is left');
    seek $file, 6, 0;
    open my $writer, '+<:raw', $path or die $!;
    seek $writer, 100, 0;
    print $writer 'damage!!';
    close $writer or die $!;
    my $error = died_with(sub { $kv->load($file) });
    isa_ok($error, 'ShmKV::Error::BadDump');
    is($error->line, __LINE__ - 2, 'at the line of the caller');
};

subtest 'a pipe to another process' => sub {
    my $kv = filled();
    $kv->put(large => 'x' x 1_000_000);
    my $other = ShmKV->open(segment());
    pipe my $read, my $write or die $!;
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        close $write;
        my $n = eval { $other->load($read) };
        POSIX::_exit(defined $n && $n == 1 + keys %entries ? 0 : 1);
    }
    close $read;
    $kv->dump($write);
    close $write;
    waitpid $pid, 0;
    is($?, 0, 'which loads it');
    is_deeply($other->get_all, $kv->get_all, 'all is there');
};

subtest 'options of load' => sub {
    filled()->dump($path);
    my $kv = ShmKV->open(segment());
    $kv->put(int  => 'own');
    $kv->put(more => 1);
    is($kv->load($path, keep => 1), keys(%entries) - 1, 'keep');
    is_deeply($kv->get_all, { %entries, int => 'own', more => 1 }, 'nothing was replaced');
    $kv->load($path);
    is_deeply($kv->get_all, { %entries, more => 1 }, 'replaced by key');
    $kv->load($path, replace => 1);
    is_deeply($kv->get_all, \%entries, 'replaced as a whole');
    isa_ok(died_with(sub { $kv->load($path, keep => 1, replace => 1) }), 'ShmKV::Error::BadArgument');
    truncate $path, (-s $path) - 1 or die $!;
    $kv->put(mine => 1);
    isa_ok(died_with(sub { $kv->load($path, replace => 1) }), 'ShmKV::Error::BadDump');
    is($kv->get('mine'), 1, 'nothing has changed');
};

subtest 'freeze and sync' => sub {
    my $kv = filled();
    ok($kv->sync, 'in memory');
    is($kv->info->{frozen}, 0, 'not frozen');
    ok($kv->freeze, 'freeze');
    is($kv->info->{frozen}, 1, 'frozen');
    isa_ok(died_with(sub { $kv->put(k => 1) }), 'ShmKV::Error::Frozen');
    isa_ok(died_with(sub { $kv->delete('int') }), 'ShmKV::Error::Frozen');
    is_deeply(ShmKV->open($kv->name)->get_all, \%entries, 'still to be read');
    my $file = ShmKV->open("$folder/store");
    $file->put(k => 1);
    ok($file->sync, 'in a file');
};

subtest 'many keys' => sub {
    my $kv = filled();
    is_deeply($kv->get_many(qw(int text undef absent)), { int => -1, text => 'café ☺', undef => undef }, 'those found');
    is_deeply($kv->get_many, {}, 'of none');
    $kv->put("\xe9", 'e');
    my $wide = "\xe9";
    utf8::upgrade($wide);
    is_deeply($kv->get_many($wide), { "\xe9" => 'e' }, 'however it is held');
    my %many = map { ("key $_" => "$_" x ($_ % 7 * 50)) } 1 .. 3000;
    $many{large}  = 'l' x 1_000_000;
    $many{larger} = 'm' x 2_000_000;
    $kv->put($_ => $many{$_}) for keys %many;
    is_deeply($kv->get_many(keys %many, 'absent'), \%many, 'more than fit at once');
    for my $bad ('', undef, [], "\x{263a}") {
        my $error = died_with(sub { $kv->get_many('int', $bad) });
        isa_ok($error, 'ShmKV::Error::BadKey');
        is($error->line, __LINE__ - 2, 'at the line of the caller');
    }
};

subtest 'after close' => sub {
    my $kv = filled();
    unlink $path;
    $kv->close;
    for my $call (sub { $kv->freeze }, sub { $kv->sync }, sub { $kv->dump($path) }, sub { $kv->load($path) }, sub { $kv->get_many }) {
        isa_ok(died_with($call), 'ShmKV::Error::Closed');
    }
    ok(!-e $path, 'no file was made');
};

done_testing;
