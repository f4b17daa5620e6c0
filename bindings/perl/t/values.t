# Values with types: what goes in comes out, and what would be lost is refused. Spec 10.

use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::Bin;
use JSON::PP ();
use Scalar::Util qw(dualvar);
use Test::More;
use TestSegment;

use ShmKV;

sub type_of { $_[0]->get_item($_[1])->{type} }

# proves [VAL-01] [VAL-03]
subtest 'values come back as they were' => sub {
    my $kv   = ShmKV->open(segment());
    my %same = (
        bytes     => ["\x00\xff",             'bytes'],
        'no bytes' => ['',                    'bytes'],
        'no text' => [substr('☺', 1),           'text'],
        text      => ["café ☺ \x{1f600}\0",   'text'],
        zero      => [0,                      'int64'],
        least     => [-9223372036854775807 - 1, 'int64'],
        most      => [9223372036854775807,    'int64'],
        float     => [0.1 + 0.2,              'float64'],
        whole     => [2**3 / 1.0 + 0.5 - 0.5, 'float64'],
        null      => [undef,                  'null'],
        array     => [[1, 2.5, 'three', undef, [], {}], 'json'],
        hash      => [{ a => { b => [1, -1, 1e300] }, '' => 0, 'é' => '☺' }, 'json'],
        long      => ['é' x 5000,             'text'],
    );
    for my $name (sort keys %same) {
        my ($value, $type) = @{ $same{$name} };
        is($kv->put($name, $value), 1, "$name: put");
        is_deeply($kv->get($name), $value, "$name: get");
        is(type_of($kv, $name), $type, "$name: type");
        ok($kv->exists($name), "$name: exists");
    }
    is(sprintf('%.17g', $kv->get('float')), sprintf('%.17g', 0.1 + 0.2), 'no digit lost');
    ok(utf8::is_utf8($kv->get('text')), 'text has the flag');
    ok(!utf8::is_utf8($kv->get('bytes')), 'bytes have not');
    is_deeply($kv->get_all, { map { $_ => $same{$_}[0] } keys %same }, 'get_all');
    while (my ($key, $value) = $kv->each) {
        is_deeply($value, $same{$key}[0], "$key: each");
    }
};

subtest 'booleans' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put(json => [JSON::PP::true(), JSON::PP::false()]);
    is($kv->get_bytes('json'), '[true,false]', 'of JSON::PP, inside');
    $kv->put(yes => JSON::PP::true());
    is(type_of($kv, 'yes'), 'boolean', 'of JSON::PP');
    ok($kv->get('yes'), 'true');
  SKIP: {
        skip 'Perl 5.36 tells booleans from strings', 3 if $] < 5.036;
        $kv->put(no => !!0);
        is(type_of($kv, 'no'), 'boolean', 'of Perl');
        ok(!$kv->get('no'), 'false');
        $kv->put(again => $kv->get('yes'));
        is(type_of($kv, 'again'), 'boolean', 'what was read is one again');
    }
};

subtest 'scalars that are both are strings' => sub {
    my $kv = ShmKV->open(segment());
    my $string = '42';
    my $sum    = $string + 1;
    $kv->put(used => $string);
    is(type_of($kv, 'used'), 'bytes', 'a string used as a number');
    $kv->put(dual => dualvar(5, 'five'));
    is($kv->get('dual'), 'five', 'dualvar');
    my $number = 42;
    my $text   = "$number";
    $kv->put(printed => 0 + $number);
    is(type_of($kv, 'printed'), 'int64', '0 + $n is an integer');
    $kv->put(inside => [$string, 0 + $number, 3.0 * 1.5 - 0.5 * 3, dualvar(5, 'five')]);
    is($kv->get_bytes('inside'), '["42",42,3.0,"five"]', 'likewise inside an array');
};

# proves [VAL-02] [VAL-04]
subtest 'what would be lost is refused, and nothing has changed' => sub {
    my $kv = ShmKV->open(segment());
    my $circular = [];
    push @$circular, $circular;
    $kv->put(k => 'before');
    my $inf = 9**9**9;
    for my $bad (18446744073709551615, [18446744073709551615], [$inf], { a => -sin $inf },
        $circular, sub { }, \1, [\1], bless({}, 'Some::Class'), [bless [], 'Some::Class'], \*STDOUT, qr/x/) {
        ok(!eval { $kv->put(k => $bad); 1 }, 'refused');
        isa_ok($@, 'ShmKV::Error::BadValue');
        is($@->line, __LINE__ - 2, 'at the line of the caller');
        is($kv->get('k'), 'before', 'unchanged');
    }
    @$circular = ();
};

# proves [VAL-07]
subtest 'what others could not read is refused' => sub {
    my $kv = ShmKV->open(segment());
    my $nested = [];
    $nested = [$nested] for 1 .. 511;
    $kv->put(k => $nested);
    my ($depth, $level) = (0, $kv->get('k'));
    while ($level) {
        $depth++;
        $level = $level->[0];
    }
    is($depth, 512, 'as deep as that is allowed');
    ok(!eval { $kv->put(k => { 'one more' => $nested }); 1 }, 'and no more');
    isa_ok($@, 'ShmKV::Error::BadValue');
    like($@, qr/more than 512/, 'it says so');
};

# proves [VAL-05]
subtest 'text and JSON that are none' => sub {
    my $kv = ShmKV->open(segment());
    for my $case (['☺', "\xe2\xff\xba"], [[1234], '[12,4 '], [['abc'], "[\"a\xffc\"]"]) {
        my ($value, $forged) = @$case;
        $kv->put(k => $value);
        my $old = $kv->get_bytes('k');
        open my $file, '+<:raw', '/dev/shm/' . $kv->name or die $!;
        my $image = do { local $/; <$file> };
        seek $file, rindex($image, "k\0\0\0\0\0\0\0$old") + 8, 0;
        print $file $forged;
        close $file or die $!;
        for my $read (sub { $kv->get('k') }, sub { $kv->get_all }, sub { my @all = $kv->each }) {
            ok(!eval { $read->(); 1 }, 'refused');
            isa_ok($@, 'ShmKV::Error::BadType');
        }
        is($kv->get_bytes('k'), $forged, 'get_bytes gives the bytes');
        is_deeply([$kv->keys], ['k'], 'the key is there');
    }
};

subtest 'conditions' => sub {
    my $kv = ShmKV->open(segment());
    ok(!$kv->replace(k => 1), 'nothing to replace');
    ok($kv->add(k => 2), 'add');
    ok(!$kv->add(k => 3), 'there already');
    is($kv->swap(k => 'x' x 100_000), 2, 'swap');
    is(length $kv->take('k'), 100_000, 'take');
    is($kv->take('k'), undef, 'nothing to take');
    ok($kv->cas('k', 0, 'first'), 'cas of an absent key');
    my $version = $kv->get_item('k')->{version};
    ok(!$kv->cas('k', 0, 'second'), 'there is one');
    ok($kv->cas('k', $version, 'second'), 'cas');
    ok(!$kv->cas('k', $version, 'third'), 'changed');
    ok($kv->cas_value('k', 'second', 'third'), 'cas_value');
    ok(!$kv->delete_value('k', 'second'), 'changed');
    ok($kv->delete_value('k', 'third'), 'delete_value');
    ok(!$kv->delete_if('k', $version), 'there is none');
    my @seen;
    $kv->put(n => 1);
    is($kv->modify(n => sub { push @seen, $_[0]; $kv->put(n => 10) if @seen == 1; $_[0] + 1 }), 11, 'modify');
    is_deeply(\@seen, [1, 10], 'again when another came between');
    ok(!eval { $kv->modify(n => sub { die "no\n" }); 1 }, 'a sub may die');
    is($kv->get('n'), 11, 'and nothing has changed');
    $kv->set(n => 1, ttl => 1000);
    my $first = $kv->get_item('n')->{expires_ns};
    $kv->modify(n => sub { $_[0] + 1 });
    is($kv->get_item('n')->{expires_ns}, $first, 'modify leaves the end');
    $kv->modify(n => sub { $_[0] + 1 }, ttl => 2000, bound => 1);
    cmp_ok($kv->get_item('n')->{expires_ns}, '>', $first, 'or gives another');
    ok($kv->get_item('n')->{bound}, 'bound');
    $kv->modify(n => sub { $_[0] + 1 }, ttl => 9**9**9);
    is($kv->get_item('n')->{expires_ns}, undef, 'or none');
    ok(!$kv->get_item('n')->{bound}, 'not bound');
};

subtest 'counters' => sub {
    my $kv = ShmKV->open(segment());
    is($kv->incr('n'), 1, 'incr');
    is($kv->incr('n', 41), 42, 'by more');
    is($kv->decr('n', 2), 40, 'decr');
    is($kv->incr('from ten', 1, 10), 11, 'from a beginning');
    is($kv->incr('f', 0.5), 0.5, 'a float');
    is($kv->at_least('n', 50), 50, 'at_least');
    is($kv->at_most('n', 45), 45, 'at_most');
    $kv->put(n => 9223372036854775807);
    for my $case (['Overflow', 1], ['BadType', 0.5], ['BadValue', 'one'], ['BadValue', [1]]) {
        my ($class, $amount) = @$case;
        my $error = died_with(sub { $kv->incr('n', $amount) });
        isa_ok($error, "ShmKV::Error::$class");
        is($error->line, __LINE__ - 2, 'at the line of the caller');
    }
    is($kv->get('n'), 9223372036854775807, 'and nothing has changed');
};

subtest 'append, get or set' => sub {
    my $kv = ShmKV->open(segment());
    is($kv->append('t', 'é☺'), 5, 'text begins');
    is($kv->append('t', '☺'), 8, 'and goes on');
    is($kv->get('t'), 'é☺☺', 'as text');
    is($kv->append('b', "\xff"), 1, 'bytes');
    is(type_of($kv, 'b'), 'bytes', 'stay bytes');
    isa_ok(died_with(sub { $kv->append('t', "\xff") }), 'ShmKV::Error::BadValue');
    isa_ok(died_with(sub { $kv->append('t', 5) }), 'ShmKV::Error::BadValue');
    $kv->put(n => 5);
    isa_ok(died_with(sub { $kv->append('n', '5') }), 'ShmKV::Error::BadType');
    my $large = 'x' x 100_000;
    is($kv->get_or_set('k', $large), $large, 'set');
    is($kv->get_or_set('k', 'other'), $large, 'get');
    is($kv->get_or_set('e', 1, ttl => 1000), 1, 'with an end');
    ok($kv->get_item('e')->{expires_ns}, 'which it has');
};

subtest 'emptying' => sub {
    my $kv = ShmKV->open(segment());
    ok(!$kv->touch('k', 5), 'nothing to touch');
    $kv->put(k => 1);
    ok($kv->touch('k', 1000), 'touch');
    ok($kv->get_item('k')->{expires_ns}, 'it will end');
    ok($kv->touch('k'), 'or never');
    is($kv->get_item('k')->{expires_ns}, undef, 'it will not');
    $kv->touch('k', 0);
    is($kv->sweep, 1, 'sweep');
    is($kv->sweep(5), 0, 'in steps');
    $kv->put(a => undef);
    $kv->put('b' x 65536, 'x' x 1_000_000);
    my %popped = ($kv->pop, $kv->pop);
    is_deeply(\%popped, { a => undef, 'b' x 65536, 'x' x 1_000_000 }, 'pop');
    is_deeply([$kv->pop], [], 'nothing left');
    $kv->put($_ => 1) for 1 .. 5;
    is($kv->clear, 5, 'clear');
    is($kv->get_size, 0, 'empty');
};

subtest 'default time to live' => sub {
    my $kv = ShmKV->open(segment(), default_ttl => 1000);
    is($kv->info->{default_ttl_ns}, 1000e9, 'told');
    $kv->put(default => 1);
    $kv->set(ever => 2, ttl => 9**9**9);
    $kv->set(own => 3, ttl => 5000);
    is($kv->get_item('ever')->{expires_ns}, undef, 'never');
    for (['default', 1000], ['own', 5000]) {
        my ($key, $seconds) = @$_;
        my $off = $kv->get_item($key)->{expires_ns} / 1e9 - time - $seconds;
        ok(abs $off < 300, "$key ends in $seconds seconds");
    }
    for my $bad (-1, 'soon', 'nan', 1e300) {
        ok(!eval { ShmKV->open(segment(), default_ttl => $bad); 1 }, "default_ttl $bad");
        isa_ok($@, 'ShmKV::Error::BadArgument');
    }
};

subtest 'a cache' => sub {
    my $kv = ShmKV->open(segment(), max_entries => 100);
    $kv->put("k$_" => $_) for 1 .. 300;
    is($kv->get_size, 100, 'no more than that');
    is($kv->info->{max_entries}, 100, 'told');
    is($kv->info->{evicts}, 1, 'and that it is one');
    is($kv->stats->{evictions}, 200, 'the others were evicted');
    $kv = ShmKV->open(segment(), max_bytes => 1 << 20);
    $kv->put("k$_" => 'x' x 10_000) for 1 .. 300;
    cmp_ok($kv->stats->{entry_bytes}, '<=', 1 << 20, 'bytes bounded');
    cmp_ok($kv->get_size, '>', 80, 'and used');
    ok(!eval { $kv->put(large => 'x' x (2 << 20)); 1 }, 'longer than the bound');
    isa_ok($@, 'ShmKV::Error::BadValue');
    $kv = ShmKV->open(segment(), max_size => 1 << 20, evict => 1);
    $kv->put("k$_" => 'x' x 1000) for 1 .. 2000;
    cmp_ok($kv->stats->{evictions}, '>', 1000, 'no room is no error');
    is($kv->get('k2000'), 'x' x 1000, 'the last is there');
    $kv = ShmKV->open(segment());
    is($kv->info->{evicts}, 0, 'not unless asked for');
};

subtest 'endings' => sub {
    my $kv = ShmKV->open(segment());
    $kv->set(short => 1, ttl => 0);
    $kv->set(long => 2, ttl => 1000);
    is($kv->get('short'), undef, 'expired');
    is($kv->get('long'), 2, 'not yet');
    for my $bad (-1, 'soon', 'nan') {
        ok(!eval { $kv->set(k => 1, ttl => $bad); 1 }, "ttl $bad");
        isa_ok($@, 'ShmKV::Error::BadArgument');
    }
    my $other = ShmKV->open($kv->name);
    $other->set(mine => 1, bound => 1);
    ok($kv->get_item('mine')->{bound}, 'bound');
    $other->close;
    is($kv->get('mine'), undef, 'gone with the one who stored it');
};

subtest 'noncharacters are text' => sub {
    no warnings;
    my $kv = ShmKV->open(segment());
    for my $text ("\x{ffff}", "\x{fdd0}", "a\x{10ffff}b") {
        $kv->put(t => $text);
        is($kv->get('t'), $text, sprintf 'U+%vX', $text);
    }
};

done_testing;
