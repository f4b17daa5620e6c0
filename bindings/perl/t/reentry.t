# Code of the user that runs in the middle of a call (overloading, tied scalars, a codec, a sub that we call)
# and changes or gives up what the call works on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

# Runs code when it is read as a string or as a number.
package Running {
    use overload '""' => sub { $_[0][0]->(); 'value' }, '0+' => sub { $_[0][0]->(); 5 }, fallback => 1;
    sub new { my ($class, $code) = @_; return bless [$code], $class }
}

package Running::Tied {
    sub TIESCALAR { my ($class, $code) = @_; return bless [$code], $class }
    sub FETCH { $_[0][0]->(); return 'value' }
}

# What one can die with.
package Error::False { use overload bool => sub { 0 }, '""' => sub { 'false' }, fallback => 1 }
package Error::Dying { use overload bool => sub { die 'asked' }, '""' => sub { 'dying' }, fallback => 1 }

package main;

# So that memory that was freed has something else in it.
sub reuse { return map { 'Q' x $_ } 1 .. 200 }

subtest 'a key that reading the value changes' => sub {
    my $kv = ShmKV->open(segment());
    for my $length (1, 100) {
        my $key;
        my $change = sub { $key = 'z' x 300_000; reuse() };
        my $object = Running->new($change);
        tie my $tied, 'Running::Tied', $change;
        for my $put (
            sub { $kv->put($key, $object) },
            sub { $kv->put($key, $tied) },
            sub { $kv->append($key, $tied) },
            sub { $kv->set($key, $object, ttl => 50) },
            sub { $kv->set($key, 'value', ttl => $object) },
            sub { $kv->put_many([$key, $object]) },
            sub { $kv->transaction(['k' x $length], sub { $_[0]->put($key, $tied) }) },
        ) {
            $key = 'k' x $length;
            $put->();
            is_deeply($kv->get_all, { 'k' x $length => 'value' }, 'as it was when it was read');
            $kv->clear;
        }
    }
};

subtest 'a value that reading the time to live changes' => sub {
    my $kv = ShmKV->open(segment());
    for my $length (1, 100) {
        my ($value, @pairs);
        my $ttl = Running->new(sub { $value = $pairs[1] = 'z' x 300_000; reuse() });
        for my $put (
            sub { $kv->set(k => $value, ttl => $ttl) },
            sub { $kv->add(k => $value, ttl => $ttl) },
            sub { @pairs = (k => $value); $kv->put_many(\@pairs, ttl => $ttl) },
            sub { $kv->put(k => 1); $kv->cas_value('k', 1, $value, ttl => $ttl) },
        ) {
            $value = 'v' x $length;
            $put->();
            is($kv->take('k'), 'v' x $length, 'as it was when it was read');
        }
    }
};

subtest 'an object that is given up' => sub {
    my $kv;
    my $give_up = sub { undef $kv; reuse() };
    my $codec   = [sub { $give_up->(); 'coded' }, sub { $give_up->(); 'decoded' }];
    my $object  = Running->new($give_up);
    tie my $tied, 'Running::Tied', $give_up;
    my $name = segment();
    for my $call (
        sub { $kv->put('k', $object) },
        sub { $kv->put('k', $tied) },
        sub { $kv->put($tied, 1) },
        sub { $kv->put('coded', sub { }) },
        sub { $kv->get('coded') },
        sub { $kv->get_many('coded', 'k') },
        sub { $kv->get_all },
        sub { $kv->put_many('many', $object) },
        sub { $kv->transaction(['coded'], sub { $_[0]->get('coded') }) },
        sub { $kv->touch('k', $object) },
    ) {
        $kv = ShmKV->open($name, codec => $codec);
        eval { $call->(); 1 } or isa_ok($@, 'ShmKV::Error::Closed');
        ok(!defined $kv, 'given up');
    }
    $kv = ShmKV->open($name);
    is_deeply([sort $kv->keys], [qw(coded k many value)], 'what was to be stored is');
};

subtest 'a Transaction that its sub undefines' => sub {
    my $kv = ShmKV->open(segment());
    is($kv->transaction(['k'], sub { undef $_[0]; reuse(); 5 }), 5, 'undef');
    is($kv->transaction(['k'], sub { $_[0]->put('k', 7); $_[0] = 'another'; reuse(); 6 }), 6, 'another');
    is($kv->get('k'), 7, 'stored');
};

subtest 'an error that calls itself false is one' => sub {
    my $kv = ShmKV->open(segment());
    my $other = ShmKV->open($kv->name);
    $kv->put(n => 1);
    for my $class (qw(Error::False Error::Dying)) {
        my $die = sub { die bless {}, $class };
        isa_ok(died_with(sub { $kv->transaction(['n'], sub { $_[0]->put(n => 2); $die->() }) }), $class, 'transaction');
        isa_ok(died_with(sub { $kv->lock('l', $die) }), $class, 'lock');
        isa_ok(died_with(sub { $kv->modify('n', $die) }), $class, 'modify');
        isa_ok(died_with(sub { $kv->get_or_compute('m', $die) }), $class, 'get_or_compute');
        is($kv->get('n'), 1, 'and nothing has changed');
        is($other->lock('l', sub { 'got' }, timeout => 0), 'got', 'nor is anything locked');
        is($other->lock('m', sub { 'got' }, timeout => 0), 'got', 'nor that');
    }
    $kv = ShmKV->open($kv->name, codec => [sub { die bless {}, 'Error::False' }, sub { 1 }]);
    isa_ok(died_with(sub { $kv->put(n => sub { }) }), 'Error::False', 'codec');
};

subtest '$@ stays as it was' => sub {
    my $kv = ShmKV->open(segment(), codec => [sub { 'coded' }, sub { 'decoded' }]);
    my $dump = "$0.$$.dump";
    $dump =~ s{.*/}{$ENV{TEST_TMPDIR}/};
    my %call = (
        'put, list'      => sub { $kv->put(list => [1, { two => 2 }]) },
        'get, list'      => sub { $kv->get('list') },
        'put, coded'     => sub { $kv->put(coded => sub { }) },
        'get, coded'     => sub { $kv->get('coded') },
        'get_all'        => sub { $kv->get_all },
        'each'           => sub { 1 while $kv->each },
        'transaction'    => sub { $kv->transaction(['list'], sub { 1 }) },
        'lock'           => sub { $kv->lock('n', sub { 1 }) },
        'get_or_compute' => sub { $kv->get_or_compute('c', sub { 1 }) },
        'load'           => sub {
            $kv->dump($dump);
            open my $file, '<:raw', $dump or die "$dump: $!";
            $kv->load($file);
        },
    );
    for my $name ('put, list', 'put, coded', sort CORE::keys %call) {
        for my $before ('text', 5, { of => 'reference' }) {
            local $@ = $before;
            $call{$name}->();
            is_deeply($@, $before, $name);
        }
    }
    unlink $dump;
};

done_testing;
