# The store from Perl: single keys, bytes, everything at once, life and death.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

subtest 'put, get, exists, delete, get_size' => sub {
    my $kv = ShmKV->open(segment());

    is $kv->get('k'), undef, 'an absent key is undef';
    ok !$kv->exists('k'), 'and does not exist';
    is $kv->put('k', 'one'), 1, 'put returns 1';
    is $kv->get('k'), 'one', 'the value comes back';
    ok $kv->exists('k'), 'the key exists';
    $kv->put('k', 'two');
    is $kv->get('k'), 'two', 'a second put replaces';
    is $kv->get_size, 1, 'there is one pair';
    ok $kv->delete('k'), 'delete tells that it was there';
    ok !$kv->delete('k'), 'and that it was not';
    is $kv->get('k'), undef, 'it is gone';
    is $kv->get_size, 0, 'there is no pair';
};

subtest 'a missing key leaves nothing in a list that would shift the others' => sub {
    my $kv = ShmKV->open(segment());
    my @got = ($kv->get('a'), $kv->get('b'));
    is scalar @got, 2, 'undef is an element';
};

subtest 'bytes are bytes' => sub {
    my $kv = ShmKV->open(segment());
    my %case = (
        'NUL inside'       => "a\0b",
        'only NUL'         => "\0",
        'trailing NUL'     => "a\0",
        'invalid UTF-8'    => "\xff\xfe\x80",
        'all bytes'        => join('', map { chr } 0 .. 255),
        'newlines'         => "\r\n\n",
        'stack and a byte' => 'x' x 4097,
        'just the stack'   => 'y' x 4096,
    );
    for my $name (sort keys %case) {
        $kv->put("key $case{$name}", $case{$name});
        is $kv->get("key $case{$name}"), $case{$name}, $name;
    }
    $kv->put('empty', '');
    is $kv->get('empty'), '', 'an empty value is not undef';
    ok $kv->exists('empty'), 'and exists';
    my $large = join '', map { chr(($_ * 31) & 255) } 1 .. 3_000_000;
    $kv->put('large', $large);
    ok $kv->get('large') eq $large, 'three million bytes';
    my $key = 'k' x 65536;
    $kv->put($key, 'long key');
    is $kv->get($key), 'long key', 'the longest key';
};

subtest 'the UTF-8 flag is not part of a key, but makes a value text' => sub {
    my $kv = ShmKV->open(segment());
    my $plain = "caf\xe9";
    my $flagged = $plain;
    utf8::upgrade($flagged);

    $kv->put($flagged, $flagged);
    is $kv->get($plain), $plain, 'one key with and without the flag';
    is length $kv->get($flagged), 4, 'four characters';
    ok utf8::is_utf8($kv->get($flagged)), 'what comes back is text';
    is $kv->get_bytes($flagged), "caf\xc3\xa9", 'stored as UTF-8';
    ok utf8::is_utf8($flagged), 'the argument keeps its flag';
    is $kv->get_size, 1, 'one pair';

    my $encoded = "\x{263a}";
    utf8::encode($encoded);
    $kv->put('smile', $encoded);
    is $kv->get('smile'), "\xe2\x98\xba", 'encoded text is its bytes';

    my $ascii = 'abc';
    utf8::upgrade($ascii);
    $kv->put($ascii, 'x');
    is $kv->get('abc'), 'x', 'flagged ASCII';
};

subtest 'what is not a string becomes one' => sub {
    my $kv = ShmKV->open(segment());
    {
        package Overloaded;
        use overload '""' => sub { 'spelled out' };
    }
    $kv->put(42, 1.5);
    is $kv->get('42'), '1.5', 'numbers';
    $kv->put(bless([], 'Overloaded'), 'yes');
    is $kv->get('spelled out'), 'yes', 'overloaded objects';
    $kv->put("$_", $_) for 'in a loop';
    is $kv->get('in a loop'), 'in a loop', 'aliased, with copy on write';
    'ab' =~ /(b)/;
    $kv->put('capture', $1);
    is $kv->get('capture'), 'b', 'magic variables';
    $kv->put(substr('abcdef', 2, 2), 'lvalue');
    is $kv->get('cd'), 'lvalue', 'substr';
};

subtest 'what get returns is the caller\'s own' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put($_, $_ x 3) for 'a' .. 'e';
    my @mapped = map { $kv->get($_) } 'a' .. 'e';
    is_deeply \@mapped, [qw(aaa bbb ccc ddd eee)], 'in a map';
    my @pushed;
    push @pushed, $kv->get($_) for 'a' .. 'e';
    is_deeply \@pushed, \@mapped, 'pushed';
    my @references = map { \$kv->get($_) } 'a' .. 'e';
    is_deeply [map { $$_ } @references], \@mapped, 'as references';
    my @kept;
    my $keep = sub { push @kept, \$_[0] };
    $keep->($kv->get($_)) for 'a' .. 'e';
    is_deeply [map { $$_ } @kept], \@mapped, 'as arguments';
    my ($one, $two) = ($kv->get('a'), $kv->get('b'));
    $one .= 'more';
    is $kv->get('a'), 'aaa', 'changing it changes nothing else';
    is $two, 'bbb', 'nor its neighbour';
    my $recursive;
    $recursive = sub { my ($n) = @_; my $v = $kv->get(chr(ord('a') + $n)); return $n < 4 ? $v . $recursive->($n + 1) : $v };
    is $recursive->(0), 'aaabbbcccdddeee', 'in a recursion';
    my $flagged = "\x{263a}";
    $flagged = $kv->get('a');
    ok !utf8::is_utf8($flagged), 'into a variable that held wide characters';
};

subtest 'get_all is a plain hash of its own' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put("k$_", "v$_") for 1 .. 500;
    my $all = $kv->get_all;
    is ref $all, 'HASH', 'a hash';
    is_deeply $all, { map { ("k$_" => "v$_") } 1 .. 500 }, 'with every pair';
    $kv->put('k1', 'changed');
    $all->{k2} = 'mine';
    is $all->{k1}, 'v1', 'later writes do not show';
    is $kv->get('k2'), 'v2', 'nor do changes go back';
    is_deeply(ShmKV->open(segment())->get_all, {}, 'empty for an empty segment');
};

subtest 'the segment outlives the object' => sub {
    my $name = segment();
    {
        my $kv = ShmKV->open($name);
        $kv->put('k', 'v');
    }
    is(ShmKV->open($name)->get('k'), 'v', 'open again, look again');
    my $one = ShmKV->open($name);
    my $two = ShmKV->open($name);
    $one->put('seen', 'by both');
    is $two->get('seen'), 'by both', 'two objects, one segment';
    is_deeply $one->verify, [], 'and nothing is wrong with it';
};

subtest 'modes' => sub {
    my $name = segment();
    isa_ok died_with(sub { ShmKV->open($name, mode => 'existing') }), 'ShmKV::Error::NoSegment', 'existing, absent:';
    isa_ok died_with(sub { ShmKV->open($name, mode => 'readonly') }), 'ShmKV::Error::NoSegment', 'readonly, absent:';
    my $kv = ShmKV->open($name, mode => 'shared');
    $kv->put('k', 'v');
    is(ShmKV->open($name, mode => 'existing')->get('k'), 'v', 'existing attaches');
    my $reader = ShmKV->open($name, mode => 'readonly');
    is $reader->get('k'), 'v', 'readonly reads';
    is_deeply $reader->get_all, { k => 'v' }, 'all of it';
    isa_ok died_with(sub { $reader->put('k', 'w') }), 'ShmKV::Error::ReadOnly', 'put on it:';
    isa_ok died_with(sub { $reader->delete('k') }), 'ShmKV::Error::ReadOnly', 'delete on it:';
    is $kv->get('k'), 'v', 'nothing has changed';
    my $fresh = ShmKV->open($name, mode => 'exclusive');
    is $fresh->get_size, 0, 'exclusive begins empty';
    is $kv->get('k'), undef, 'and who was attached moves along';
    $kv->put('new', 'one');
    is $fresh->get('new'), 'one', 'to the same segment';
};

subtest 'unlink' => sub {
    my $name = segment();
    my $kv = ShmKV->open($name);
    $kv->put('k', 'v');
    ok $kv->unlink, 'by the object';
    is $kv->get('k'), 'v', 'which keeps the segment';
    isa_ok died_with(sub { ShmKV->unlink($name) }), 'ShmKV::Error::NoSegment', 'again:';
    ShmKV->open($name)->put('k', 'other');
    is $kv->get('k'), 'v', 'a new one of the same name is another';
    ok(ShmKV->unlink($name), 'by the class');
};

subtest 'close' => sub {
    my $kv = ShmKV->open(segment());
    ok !$kv->closed, 'open';
    ok $kv->close, 'close';
    ok $kv->close, 'close again';
    ok $kv->closed, 'closed';
    for my $call (
        [put => 'k', 'v'], [get => 'k'], [delete => 'k'], [exists => 'k'], ['get_size'], ['get_all'], ['keys'],
        ['each'], ['cursor'], ['info'], ['stats'], ['verify'], ['locks'], ['owners'])
    {
        my ($method, @arguments) = @$call;
        isa_ok died_with(sub { my @got = $kv->$method(@arguments) }), 'ShmKV::Error::Closed', "$method:";
    }
};

subtest 'facts' => sub {
    my $name = segment();
    my $kv = ShmKV->open($name, permissions => 0640, owner_slots => 16, lock_timeout_ms => 1000);
    $kv->put("k$_", $_) for 1 .. 10;
    my $info = $kv->info;
    is $info->{revision}, 1, 'format revision';
    is $info->{permissions}, 0640, 'permissions';
    is $info->{max_key}, 65536, 'longest key';
    like $info->{uuid}, qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/, 'uuid';
    is $kv->stats->{entries}, 10, 'entries';
    ok scalar(grep { $_->{kind} eq 'shard' } @{ $kv->locks }), 'locks';
    ok scalar(grep { $_->{pid} == $$ && $_->{liveness} eq 'alive' } @{ $kv->owners }), 'this process owns a slot';
    is_deeply $kv->verify, [], 'verified';
    is $kv->name, $name, 'name';
    like(ShmKV->version, qr/\A[0-9]+\.[0-9]+\.[0-9]+\z/, 'version');
};

subtest 'a path is a file' => sub {
    my $path = ($ENV{TEST_TMPDIR} || '/tmp') . "/shmkv-test-pl-$$";
    my $kv = ShmKV->open($path);
    $kv->put('k', 'v');
    ok -f $path, 'it is there';
    is(ShmKV->open($path, mode => 'existing')->get('k'), 'v', 'and read again');
    $kv->unlink;
    ok !-e $path, 'and gone';
};

subtest 'subclasses' => sub {
    { package My::Store; our @ISA = ('ShmKV'); sub shout { return uc $_[0]->get($_[1]) } }
    my $kv = My::Store->open(segment());
    $kv->put('k', 'v');
    is ref $kv, 'My::Store', 'blessed into the subclass';
    is $kv->shout('k'), 'V', 'with its methods';
};

subtest 'many keys' => sub {
    my $kv = ShmKV->open(segment());
    my $n = 20_000;
    $kv->put("key $_", "value $_") for 1 .. $n;
    is $kv->get_size, $n, 'all are counted';
    is scalar(grep { $kv->get("key $_") ne "value $_" } 1 .. $n), 0, 'all are right';
    $kv->delete("key $_") for grep { $_ % 2 } 1 .. $n;
    is $kv->get_size, $n / 2, 'half are gone';
    is scalar(grep { defined $kv->get("key $_") } grep { $_ % 2 } 1 .. $n), 0, 'the right half';
    is_deeply $kv->verify, [], 'and the segment is sound';
};

done_testing;
