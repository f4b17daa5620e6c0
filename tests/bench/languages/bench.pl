#!/usr/bin/perl
# shmkv in Perl next to what else Perl has: get and overwrite, the same loop for each store, in turns, in one
# process. Prints JSON as the driver in C does; README.md tells what the numbers mean.
#
#     bench.pl [--quick] [--check]
use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP ();
use List::Util qw(shuffle);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use ShmKV;

my %option = map { $_ => 1 } @ARGV;
my ($rounds, $slice) = $option{'--check'} ? (2, 0.001) : $option{'--quick'} ? (5, 0.05) : (15, 0.2);
my $count = 5_000;

srand 1;
my $folder = tempdir('shmkv-bench-perl.XXXXXXXX', DIR => $ENV{SHMKV_BENCH_DIR} || '/dev/shm', CLEANUP => 1);
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);    # so that the folder goes
my @keys   = shuffle(map { sprintf '%016x', $_ * 2_654_435_761 } 1 .. $count);
my %value_of = map { $_ => $_ x 2 } @keys;
my (%hash, $kv, $shash, $map, $env, $dbi, $cache, %tied);

# Of each store: what opens it, and the idiomatic expressions for one get and one overwrite. `hash` is the
# yardstick, and `package` is Debian's or what there is in place of one. With LMDB
# a transaction for each operation, as when several processes use it.
my @stores = (
    { name => 'hash', get => '$hash{$key}', put => '$hash{$key} = $value', open => sub { 1 } },
    {   name => 'shmkv',
        get  => '$kv->get($key)',
        put  => '$kv->put($key, $value)',
        open => sub { $kv = ShmKV->open("$folder/shmkv") },
    },
    {   name => 'shmkv, tied',
        get  => '$tied{$key}',
        put  => '$tied{$key} = $value',
        open => sub { tie %tied, 'ShmKV', "$folder/tied" },
    },
    {   name    => 'Hash::SharedMem',
        package => 'libhash-sharedmem-perl',
        get     => 'Hash::SharedMem::shash_get($shash, $key)',
        put     => 'Hash::SharedMem::shash_set($shash, $key, $value)',
        open    => sub { require Hash::SharedMem; $shash = Hash::SharedMem::shash_open("$folder/shash", 'rwc') },
    },
    {   name    => 'Data::HashMap::Shared',
        package => 'no Debian package; CPAN',
        prelude => 'use Data::HashMap::Shared::SS;',
        get     => 'shm_ss_get $map, $key',
        put     => 'shm_ss_put $map, $key, $value',
        open    => sub {
            require Data::HashMap::Shared::SS;
            $map = Data::HashMap::Shared::SS->new("$folder/hashmap", 2 * $count);
        },
    },
    {   name    => 'LMDB_File',
        package => 'liblmdb-file-perl',
        get     => 'do { my $txn = $env->BeginTxn(LMDB_File::MDB_RDONLY());'
            . ' $txn->get($dbi, $key, my $found); $txn->abort; $found }',
        put     => 'do { my $txn = $env->BeginTxn; $txn->put($dbi, $key, $value); $txn->commit }',
        open    => \&lmdb_open,
    },
    {   name    => 'Cache::FastMmap',
        package => 'libcache-fastmmap-perl',
        get     => '$cache->get($key)',
        put     => '$cache->set($key, $value)',
        open    => sub {
            require Cache::FastMmap;
            $cache = Cache::FastMmap->new(
                share_file => "$folder/fastmmap", init_file => 1, serializer => '', cache_size => '16m');
        },
    },
);

sub lmdb_open {
    require LMDB_File;
    mkdir "$folder/lmdb" or die "$folder/lmdb: $!\n";
    $env = LMDB::Env->new("$folder/lmdb",
        { mapsize => 1 << 28, flags => LMDB_File::MDB_NOSYNC() | LMDB_File::MDB_WRITEMAP() });
    my $txn = $env->BeginTxn;
    $dbi = $txn->open(undef, 0);
    $txn->commit;
    return 1;
}

# The loop is one text, the store's expression put into it; so nobody's is better. Gives seconds.
sub loop {
    my ($store, $expression) = @_;
    my $prelude = $store->{prelude} || '';
    my $code = eval "$prelude sub {
        my \$value = 'v' x 32;
        my \$got;
        my \$begin = clock_gettime(CLOCK_MONOTONIC);
        for my \$key (\@keys) { $expression }
        return clock_gettime(CLOCK_MONOTONIC) - \$begin;
    }" or die $@;
    return $code;
}

# Every value is what was put; the last put of each wins.
sub check {
    my ($store) = @_;
    my $prelude = $store->{prelude} || '';
    my $put = eval "$prelude sub { my (\$key, \$value) = \@_; $store->{put} }" or die $@;
    my $get = eval "$prelude sub { my (\$key) = \@_; $store->{get} }"          or die $@;
    $put->($_, 'another') for @keys;
    $put->($_, $value_of{$_}) for @keys;
    for my $key (@keys) {
        my $got = $get->($key);
        die "$store->{name}: wrong value\n" if !defined $got || $got ne $value_of{$key};
    }
    return;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

# One turn: whole walks over the keys until the slice is over. Gives nanoseconds for one operation.
sub turn {
    my ($loop) = @_;
    my ($seconds, $walks) = (0, 0);
    do { $seconds += $loop->(); $walks++ } while $seconds < $slice;
    return $seconds * 1e9 / ($walks * $count);
}

# The median of the ratios within a round each.
sub ratio {
    my ($above, $below) = @_;
    return 0 + sprintf '%.4f', median(map { $above->[$_] / $below->[$_] } 0 .. $#$above);
}

sub measure {
    my ($operation, @present) = @_;
    my %loop = map {
        $_->{name} => loop($_, $operation eq 'get' ? "\$got = $_->{get}" : $_->{put})
    } @present;
    my %times;
    turn($loop{$_->{name}}) for @present;    # to warm up
    for my $round (1 .. $rounds) {
        for my $store ($round % 2 ? @present : reverse @present) {
            push @{ $times{ $store->{name} } }, turn($loop{ $store->{name} });
        }
    }
    my %figures;
    for my $name (keys %times) {
        $figures{$name} = {
            ns          => 0 + sprintf('%.1f', median(@{ $times{$name} })),
            hash_ratio  => ratio($times{$name}, $times{hash}),
            shmkv_ratio => ratio($times{$name}, $times{shmkv}),
        };
    }
    my %work = (work => 'perl', operation => $operation, keys => $count, key_size => 16, value_size => 32);
    return { %work, stores => \%figures };
}

my (@present, %skipped);
for my $store (@stores) {
    if (eval { $store->{open}->() }) {
        push @present, $store;
    }
    elsif ($store->{package} && $@ =~ /^Can't locate/) {
        $skipped{ $store->{name} } = $store->{package};
        warn "bench.pl: $store->{name} is skipped: not found ($store->{package})\n";
    }
    else {
        die "$store->{name}: $@\n";
    }
}
check($_) for @present;
my @results = map { measure($_, @present) } qw(get overwrite);
check($_) for @present;
print JSON::PP->new->canonical->pretty->encode({
    language => "Perl $^V", skipped => \%skipped, complete => JSON::PP::true, rounds => $rounds, results => \@results });
