# Values that no type holds, through a codec of the application. Spec 10.3.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Storable ();
use Test::More;
use TestSegment;

use ShmKV;

$Storable::canonical = 1;
my $freeze = sub { Storable::nfreeze([$_[0]]) };
my $thaw   = sub { Storable::thaw($_[0])->[0] };
my $name   = segment();

sub object { return bless { n => $_[0], list => [1, 2] }, 'Some::Class' }

subtest 'what no type holds goes through it' => sub {
    my $kv = ShmKV->open($name, codec => [$freeze, $thaw]);
    for my $value (object(1), [object(2)], 18446744073709551615, \'scalar') {
        $kv->put(k => $value);
        is($kv->get_item('k')->{type}, 'coded', 'coded');
        is_deeply($kv->get('k'), $value, 'get');
        is(ref $kv->get('k'), ref $value, 'of the same class');
        is_deeply($kv->get_all, { k => $value }, 'get_all');
        is_deeply([$kv->cursor->next], [k => $value], 'of a cursor');
        is_deeply($kv->get_many('k'), { k => $value }, 'get_many');
        is_deeply($kv->swap(k => 1), $value, 'swap');
        $kv->put(k => $value);
        is_deeply($kv->take('k'), $value, 'take');
    }
};

subtest 'what a type holds does not' => sub {
    my $kv = ShmKV->open(segment(), codec => [sub { die }, sub { die }]);
    for my $value ('string', 1, 1.5, undef, [1], { a => [undef] }) {
        $kv->put(k => $value);
        is_deeply($kv->get('k'), $value, 'as ever');
    }
};

# proves [VAL-06]
subtest 'nothing is decoded without it' => sub {
    ShmKV->open($name, codec => [$freeze, $thaw])->put(k => object(1));
    my $kv = ShmKV->open($name);
    is($kv->get('k'), $freeze->(object(1)), 'the bytes');
    isa_ok(died_with(sub { $kv->put(k => object(1)) }), 'ShmKV::Error::BadValue');
};

subtest 'what the codec dies with comes out, and nothing has changed' => sub {
    my $kv = ShmKV->open(segment(), codec => [sub { die "encode\n" }, sub { die { decode => 1 } }]);
    $kv->put(k => 'before');
    is(died_with(sub { $kv->put(k => object(1)) }), "encode\n", 'of the encoder');
    is(died_with(sub { $kv->set(k => 18446744073709551615) }), "encode\n", 'also for a refused number');
    is($kv->get('k'), 'before', 'unchanged');
    ShmKV->open($kv->name, codec => [sub { 'bytes' }, $thaw])->put(k => object(1));
    for my $read (sub { $kv->get('k') }, sub { $kv->get_all }, sub { my @pair = $kv->each }, sub { $kv->get_many('k') }) {
        is_deeply(died_with($read), { decode => 1 }, 'of the decoder');
    }
    my $wide  = ShmKV->open($kv->name, codec => [sub { "\x{263a}" }, $thaw]);
    my $error = died_with(sub { $wide->put(k => object(1)) });
    isa_ok($error, 'ShmKV::Error::BadValue');
    is($error->line, __LINE__ - 2, 'at the line of the caller');
    is_deeply($kv->verify, [], 'the segment is sound');
};

subtest 'a codec that is none' => sub {
    for my $bad ('Storable', [sub { }], [sub { }, 'x'], {}) {
        isa_ok(died_with(sub { ShmKV->open(segment(), codec => $bad) }), 'ShmKV::Error::BadArgument');
    }
};

done_testing;
