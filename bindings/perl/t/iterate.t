# keys, each, cursors, tied hashes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

sub filled {
    my ($n) = @_;
    my $kv = ShmKV->open(segment());
    $kv->put("k$_", "v$_") for 1 .. $n;
    return $kv;
}

subtest 'keys' => sub {
    my $kv = filled(300);
    is_deeply [sort $kv->keys], [sort map { "k$_" } 1 .. 300], 'each once';
    is scalar($kv->keys), 300, 'in scalar context their number';
    is_deeply [ShmKV->open(segment())->keys], [], 'none';
};

subtest 'each' => sub {
    my $kv = filled(300);
    my %seen;
    while (my ($key, $value) = $kv->each) {
        $seen{$key} = $value;
    }
    is_deeply \%seen, $kv->get_all, 'every pair';
    my ($first) = $kv->each;
    ok defined $first, 'it begins again';
    $kv->keys;
    my @all;
    while (my ($key) = $kv->each) {
        push @all, $key;
    }
    is scalar @all, 300, 'keys resets it';
    $kv->put("a\0b", '');
    my %bytes;
    while (my ($key, $value) = $kv->each) {
        $bytes{$key} = $value;
    }
    is $bytes{"a\0b"}, '', 'NUL in keys, empty values';
};

subtest 'a walk that is left does not keep the object' => sub {
    my $kv = filled(10);
    $kv->each;
    $kv->close;
    isa_ok died_with(sub { $kv->each }), 'ShmKV::Error::Closed', 'afterwards:';
};

subtest 'deleting what each gives' => sub {
    my $kv = filled(300);
    while (my ($key) = $kv->each) {
        $kv->delete($key);
    }
    is $kv->get_size, 0, 'removes everything';
};

subtest 'cursors are independent' => sub {
    my $kv = filled(100);
    my $one = $kv->cursor;
    my $two = $kv->cursor;
    my $seen = 0;
    $one->next for 1 .. 50;
    $seen++ while my ($key, $value) = $two->next;
    is $seen, 100, 'the second sees all';
    $seen = 0;
    $seen++ while my @pair = $one->next;
    is $seen, 50, 'the first sees the rest';
    is_deeply [$one->next], [], 'the end stays the end';
};

subtest 'a cursor keeps the segment, but not against close' => sub {
    my $cursor = filled(10)->cursor;
    my $seen = 0;
    $seen++ while my @pair = $cursor->next;
    is $seen, 10, 'without another reference to the object';

    my $kv = filled(10);
    $cursor = $kv->cursor;
    $cursor->next;
    $kv->close;
    isa_ok died_with(sub { $cursor->next }), 'ShmKV::Error::Closed', 'next after close:';
    $cursor = filled(10)->cursor;
    $cursor->close;
    $cursor->close;
    isa_ok died_with(sub { $cursor->next }), 'ShmKV::Error::Closed', 'next after its own close:';
};

subtest 'keys that are there throughout are seen while others come and go' => sub {
    my $kv = filled(200);
    my %seen;
    my $extra = 0;
    while (my ($key) = $kv->each) {
        $seen{$key}++;
        next if $extra >= 20_000;
        $kv->put('extra ' . ++$extra, 'x' x 100) for 1 .. 10;
    }
    is scalar(grep { ($seen{"k$_"} || 0) != 1 } 1 .. 200), 0, 'each of them once';
};

subtest 'the segment is replaced under a cursor' => sub {
    my $kv = filled(10);
    my $cursor = $kv->cursor;
    $cursor->next;
    my $fresh = ShmKV->open($kv->name, mode => 'exclusive');
    isa_ok died_with(sub { 1 while my @pair = $cursor->next }), 'ShmKV::Error::Stale', 'next:';
};

subtest 'tie' => sub {
    my $name = segment();
    my $object = tie my %h, 'ShmKV', $name;
    isa_ok $object, 'ShmKV';
    $h{one} = 1;
    $h{two} = 2;
    is $h{one}, 1, 'FETCH';
    is $h{none}, undef, 'FETCH of nothing';
    ok exists $h{two}, 'EXISTS';
    ok !exists $h{three}, 'EXISTS not';
    is scalar(%h), 2, 'SCALAR';
    is_deeply [sort keys %h], [qw(one two)], 'keys';
    is_deeply { %h }, { one => 1, two => 2 }, 'all';
    is delete $h{one}, 1, 'DELETE gives the value';
    is delete $h{one}, undef, 'or nothing';
    my $walked = 0;
    while (my ($key, $value) = each %h) {
        $walked++;
        is "$key=$value", 'two=2', 'each';
    }
    is $walked, 1, 'once';
    %h = (fresh => 'start');
    is_deeply $object->get_all, { fresh => 'start' }, 'CLEAR, and STORE';
    undef $object;
    untie %h;
    tie %h, 'ShmKV', $name, mode => 'readonly';
    is $h{fresh}, 'start', 'with options';
    isa_ok died_with(sub { $h{fresh} = 1 }), 'ShmKV::Error::ReadOnly', 'writing:';
    untie %h;
};

done_testing;
