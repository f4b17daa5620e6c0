# Bad input to every method: an error of the class that one expects, from the caller's line, which names the
# segment and the key, and nothing has changed, nothing is locked.

use strict;
use warnings;
no warnings 'recursion';

use FindBin ();
use lib $FindBin::Bin;
use Test::More;
use ShmKV;
use TestSegment;

my $INF = 9**9**9;
my $NAN = -sin $INF;

# With a key.
my %keyed = (
    get => sub { $_[0]->get($_[1]) },
    get_item => sub { $_[0]->get_item($_[1]) },
    get_bytes => sub { $_[0]->get_bytes($_[1]) },
    get_many => sub { $_[0]->get_many('before', $_[1]) },
    exists => sub { $_[0]->exists($_[1]) },
    delete => sub { $_[0]->delete($_[1]) },
    delete_many => sub { $_[0]->delete_many('before', $_[1]) },
    delete_if => sub { $_[0]->delete_if($_[1], 1) },
    take => sub { $_[0]->take($_[1]) },
    touch => sub { $_[0]->touch($_[1], 5) },
    wait => sub { $_[0]->wait($_[1], timeout => 0) },
    'wait, version' => sub { $_[0]->wait($_[1], version => 1, timeout => 0) },
    transaction => sub { $_[0]->transaction(['before', $_[1]], sub { }) },
    lock => sub { $_[0]->lock($_[1], sub { }, timeout => 1) },
);

# With a key and a value.
my %valued = (
    put => sub { $_[0]->put($_[1], $_[2]) },
    set => sub { $_[0]->set($_[1], $_[2]) },
    add => sub { $_[0]->add($_[1], $_[2]) },
    replace => sub { $_[0]->replace($_[1], $_[2]) },
    swap => sub { $_[0]->swap($_[1], $_[2]) },
    cas => sub { $_[0]->cas($_[1], 0, $_[2]) },
    'cas_value, expected' => sub { $_[0]->cas_value($_[1], $_[2], 1) },
    cas_value => sub { $_[0]->cas_value($_[1], 1, $_[2]) },
    delete_value => sub { $_[0]->delete_value($_[1], $_[2]) },
    get_or_set => sub { $_[0]->get_or_set($_[1], $_[2]) },
    append => sub { $_[0]->append($_[1], $_[2]) },
    incr => sub { $_[0]->incr($_[1], $_[2]) },
    'incr, initial' => sub { $_[0]->incr($_[1], 1, $_[2]) },
    decr => sub { $_[0]->decr($_[1], $_[2]) },
    at_least => sub { $_[0]->at_least($_[1], $_[2]) },
    at_most => sub { $_[0]->at_most($_[1], $_[2]) },
    modify => sub { my $value = $_[2]; $_[0]->modify($_[1], sub { $value }) },
    get_or_compute => sub { my $value = $_[2]; $_[0]->get_or_compute($_[1], sub { $value }) },
    put_many => sub { $_[0]->put_many([new => 1, $_[1] => $_[2]]) },
);
my @numeric = ('incr', 'incr, initial', 'decr', 'at_least', 'at_most');

my %in_transaction = (
    get => sub { $_[0]->get($_[1]) },
    exists => sub { $_[0]->exists($_[1]) },
    delete => sub { $_[0]->delete($_[1]) },
    put => sub { $_[0]->put($_[1], $_[2]) },
    set => sub { $_[0]->set($_[1], $_[2], ttl => 5) },
);

my %ending = (
    set => sub { shift->set('k', 1, @_) },
    add => sub { shift->add('k', 1, @_) },
    replace => sub { shift->replace('n', 1, @_) },
    swap => sub { shift->swap('k', 1, @_) },
    cas => sub { shift->cas('k', 0, 1, @_) },
    cas_value => sub { shift->cas_value('n', 7, 1, @_) },
    get_or_set => sub { shift->get_or_set('k', 1, @_) },
    modify => sub { shift->modify('k', sub { 1 }, @_) },
    get_or_compute => sub { shift->get_or_compute('k', sub { 1 }, @_) },
    put_many => sub { shift->put_many({ k => 1 }, @_) },
    'transaction, set' => sub { my ($kv, @o) = @_; $kv->transaction(['k'], sub { $_[0]->set('k', 1, @o) }) },
);

my %waiting = (
    wait => sub { shift->wait('n', @_) },
    watch => sub { shift->watch(0, @_) },
    lock => sub { shift->lock('n', sub { }, @_) },
    get_or_compute => sub { shift->get_or_compute('k', sub { 1 }, @_) },
);

# Without key or value; the first ones write.
my %writes = (
    clear => sub { $_[0]->clear },
    sweep => sub { $_[0]->sweep },
    pop => sub { $_[0]->pop },
    load => sub { $_[0]->load('/dev/null') },
);
my %reads = (
    get_size => sub { $_[0]->get_size },
    get_all => sub { $_[0]->get_all },
    keys => sub { my @keys = $_[0]->keys },
    each => sub { while (my @pair = $_[0]->each) { } },
    cursor => sub { $_[0]->cursor },
    watch => sub { $_[0]->watch(0, timeout => 0) },
    info => sub { $_[0]->info },
    stats => sub { $_[0]->stats },
    verify => sub { $_[0]->verify },
    locks => sub { $_[0]->locks },
    owners => sub { $_[0]->owners },
    dump => sub { $_[0]->dump('/dev/null') },
    sync => sub { $_[0]->sync },
);
my %elsewhere = map { $_ => 1 } qw(open close closed name unlink version freeze bootstrap);

my $kv;

sub items_of {
    my ($store) = @_;

    return { map { $_ => $store->get_item($_) } $store->keys };
}

# The same values in the same versions, nothing locked, and another process can write.
sub unchanged {
    my ($store, $was) = @_;

    is_deeply(items_of($store), $was, 'nothing has changed');
    is_deeply([grep { $_->{owner} } @{ $store->locks }], [], 'nothing is locked');
    is_deeply($store->verify, [], 'it is whole');
    return if $store->info->{frozen};
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $done = eval {
            my $other = ShmKV->open($store->name, lock_timeout_ms => 100);
            for my $i (1 .. 200) {    # in each part of the store
                $other->put("by another $i", 1);
                $other->delete("by another $i");
            }
            $other->lock('n', sub { $other->lock('k', sub { 1 }, timeout => 1) }, timeout => 1);
        };
        warn $@ if !$done;
        require POSIX;
        POSIX::_exit($done ? 0 : 1);
    }
    waitpid $pid, 0;
    is($?, 0, 'another process can write');
    return;
}

# One test for all that is asked of the error.
sub refused {
    my ($what, $class, $code, %wanted) = @_;

    my $done  = eval { $code->(); 1 };
    my $error = $@;
    my @lacks;
    push @lacks, 'an error' if $done;
    push @lacks, "class $class" if !$done && !(ref $error && $error->isa("ShmKV::Error::$class"));
    if (!@lacks) {
        push @lacks, 'the segment' if index("$error", $kv->name) < 0;
        push @lacks, "the key '$wanted{key}'" if defined $wanted{key} && index("$error", "(key \"$wanted{key}") < 0;
        push @lacks, "'$wanted{say}'" if defined $wanted{say} && index("$error", $wanted{say}) < 0;
        push @lacks, 'the line of the caller' if $error->file ne __FILE__;
    }
    is(join(', ', @lacks), '', "$what: $class") or diag("the error: $error");
    return $error;
}

# Each subtest with an object of its own.
sub bad_input {
    my ($name, $test) = @_;

    subtest $name => sub {
        $kv = ShmKV->open(segment());
        $kv->put_many({ before => 'bytes', t => "te\x{263a}t", n => 7, f => 1.5, big => 9223372036854775807 });
        my ($mine, $was) = ($kv, items_of($kv));
        $test->();
        unchanged($mine, $was);
    };
}

bad_input 'the tables have every method' => sub {
    no strict 'refs';
    my @methods = grep { /\A[a-z][a-z_]*\z/ && defined &{"ShmKV::$_"} && !$elsewhere{$_} } keys %{'ShmKV::'};
    my %listed = map { s/,.*//r => 1 } map { keys %$_ } \%keyed, \%valued, \%writes, \%reads;
    is_deeply([sort @methods], [sort keys %listed], 'of ShmKV');
    @methods = grep { /\A[a-z]/ && defined &{"ShmKV::Transaction::$_"} } keys %{'ShmKV::Transaction::'};
    is_deeply([sort @methods], [sort keys %in_transaction], 'of ShmKV::Transaction');
};

bad_input 'keys' => sub {
    for my $case (['', 'BadKey', 'bytes', ''], ['k' x 70000, 'BadKey', 'bytes', 'kkk'], [undef, 'BadKey', 'undefined'],
        [{}, 'BadKey', 'a reference'], [sub { }, 'BadKey', 'a reference'], ["\x{100}", 'BadKey', 'wide character']) {
        my ($key, $class, $say, $shown) = @$case;
        for my $name (sort keys %keyed) {
            refused($name, $class, sub { $keyed{$name}->($kv, $key) }, say => $say, key => $shown);
        }
        for my $name (sort keys %valued) {
            my $value = $name eq 'append' ? '1' : 1;
            refused($name, $class, sub { $valued{$name}->($kv, $key, $value) }, say => $say, key => $shown);
        }
    }
};

sub nested {
    my ($depth) = @_;

    my $value = [];
    $value = [$value] for 2 .. $depth;
    return $value;
}

bad_input 'values' => sub {
    my $circular = [];
    push @$circular, $circular;
    for my $case ([18446744073709551615, '64 bits'], [sub { }, 'reference'], [\1, 'reference'], [\*STDOUT, 'reference'],
        [*STDOUT, 'glob'], [bless({}, 'Some::Class'), 'reference'], [qr/x/, 'reference'], ["\x{d800}", 'not text'],
        [["\x{d800}"], 'not JSON'], [[$NAN], 'NaN'], [[$INF], 'NaN'], [[18446744073709551615], '64 bits'],
        [[sub { }], 'reference'], [{ a => bless [], 'Some::Class' }, 'Some::Class'], [$circular, '512'], [nested(513), '512']) {
        my ($value, $say) = @$case;
        for my $name (sort keys %valued) {
            # What looks like text is found by the core, when it is not asked for a number before.
            next if $say =~ /\Anot / && (grep { $_ eq $name } @numeric);
            my $said = $name eq 'append' && $say eq 'not JSON' ? 'only bytes' : $say;
            refused($name, 'BadValue', sub { $valued{$name}->($kv, 'the key', $value) }, say => $said, key => 'the key');
        }
        for my $name (qw(put set)) {
            refused("$name in a transaction", 'BadValue',
                sub { $kv->transaction(['k'], sub { $in_transaction{$name}->($_[0], 'k', $value) }) }, say => $say, key => 'k');
        }
    }
    @$circular = ();
};

bad_input 'values that do not fit the method' => sub {
    refused('append', 'BadValue', sub { $kv->append('t', $_[0]) }, say => 'only bytes and text', key => 't');
    for my $value (5, [1]) {
        refused('append', 'BadValue', sub { $kv->append('t', $value) }, say => 'only bytes and text', key => 't');
    }
    for my $name (@numeric) {
        my $call = $valued{$name};
        for my $value ('1', [1]) {
            refused($name, 'BadValue', sub { $call->($kv, 'n', $value) }, say => 'a counter takes', key => 'n');
        }
        for my $value ($NAN, $INF) {
            refused($name, 'BadArgument', sub { $call->($kv, 'f', $value) }, say => 'finite', key => 'f');
        }
        refused($name, 'BadType', sub { $call->($kv, 't', 1) }, say => 'it is text', key => 't');
        refused($name, 'BadType', sub { $call->($kv, 'n', 1.5) }, say => 'it is an integer', key => 'n');
    }
    refused('append', 'BadType', sub { $kv->append('n', 'x') }, key => 'n');
    refused('append', 'BadValue', sub { $kv->append('t', "\xff") }, key => 't');
    refused('incr', 'Overflow', sub { $kv->incr('big') }, key => 'big');
    refused('decr', 'Overflow', sub { $kv->decr('n', -9223372036854775807 - 1) }, key => 'n');
};

bad_input 'keys that a transaction was not given' => sub {
    for my $name (sort keys %in_transaction) {
        refused($name, 'BadArgument', sub {
            $kv->transaction(['n', 'new'], sub { $_[0]->put('n', 0); $in_transaction{$name}->($_[0], 'other', 1) });
        }, say => 'not given', key => 'other');
    }
    for my $keys ([], ['n', 'n'], [1 .. 1025], 'n', undef, {}) {
        refused('keys', 'BadArgument', sub { $kv->transaction($keys, sub { }) });
    }
};

bad_input 'times to live, timeouts, unknown options' => sub {
    for my $name (sort keys %ending) {
        my $key = $name eq 'put_many' ? undef : $name =~ /\A(replace|cas_value)\z/ ? 'n' : 'k';
        for my $ttl (-1, -$INF, $NAN, 'x', '', [], '5 s') {
            refused($name, 'BadArgument', sub { $ending{$name}->($kv, ttl => $ttl) }, say => 'ttl', key => $key);
        }
        refused($name, 'BadArgument', sub { $ending{$name}->($kv, ttl => 1e30) }, say => '1e+30', key => $key);
        refused($name, 'BadArgument', sub { $ending{$name}->($kv, colour => 'red') }, say => 'no such option: colour');
        refused($name, 'BadArgument', sub { $ending{$name}->($kv, 'ttl') });
    }
    for my $name (sort keys %waiting) {
        for my $timeout (-1, -$INF, $NAN, 'x', []) {
            refused($name, 'BadArgument', sub { $waiting{$name}->($kv, timeout => $timeout) }, say => 'timeout');
        }
        refused($name, 'BadArgument', sub { $waiting{$name}->($kv, colour => 'red') }, say => 'no such option: colour');
    }
    refused('touch', 'BadArgument', sub { $kv->touch('n', 'x') }, say => 'ttl', key => 'n');
};

bad_input 'versions and counts' => sub {
    my @calls = ([sub { $kv->cas('n', $_[0], 1) }, 'n'], [sub { $kv->delete_if('n', $_[0]) }, 'n'],
        [sub { $kv->wait('n', version => $_[0], timeout => 0) }, 'n'], [sub { $kv->watch($_[0], timeout => 0) }], [sub { $kv->sweep($_[0]) }]);
    for my $call (@calls) {
        for my $number (-1, 2**70, 1.5, 'x', '', []) {
            refused("number $number", 'BadArgument', sub { $call->[0]->($number) }, say => 'is an integer from 0', key => $call->[1]);
        }
    }
};

bad_input 'positions, prefixes, files, options' => sub {
    for my $walk (sub { $kv->cursor(prefix => $_[0]) }, sub { $kv->keys(prefix => $_[0]) }, sub { $kv->cursor(position => $_[0]) }) {
        for my $wrong ([], "\x{100}") {
            refused('walk', 'BadArgument', sub { $walk->($wrong) }, say => 'prefix or position');
        }
    }
    refused('prefix', 'BadKey', sub { $kv->cursor(prefix => 'x' x 70000) });
    for my $position ('', 'x', "\0" x 32) {
        refused('position', 'BadArgument', sub { $kv->cursor(position => $position) }, say => 'position');
    }
    refused('load', 'BadArgument', sub { $kv->load('/dev/null', keep => 1, replace => 1) }, say => 'keep or replace');
    for my $name (qw(load dump)) {
        for my $file ([undef, 'undefined'], [[], 'a reference'], ["a\0b", 'a NUL byte'], ["\x{100}", 'wide character']) {
            refused($name, 'BadArgument', sub { $kv->$name($file->[0]) }, say => $file->[1]);
        }
        refused($name, 'SystemFailure', sub { $kv->$name('/nowhere/at/all') }, say => "'/nowhere/at/all");
    }
    for my $call (sub { $kv->cursor(colour => 1) }, sub { $kv->keys(colour => 1) }, sub { $kv->dump('/dev/null', colour => 1) },
        sub { $kv->load('/dev/null', colour => 1) }) {
        refused('options', 'BadArgument', $call, say => 'no such option: colour');
    }
};

bad_input 'numbers of arguments' => sub {
    my @calls = (
        [sub { $kv->get }, 'get(key)'], [sub { $kv->get('k', 1) }, 'get(key)'], [sub { $kv->put('k') }, 'put(key, item)'],
        [sub { $kv->put('k', 1, ttl => 5) }, 'put(key, item)'], [sub { $kv->get_size(1) }, 'get_size()'],
        [sub { $kv->delete_if('n') }, 'delete_if(key, version)'],
    );
    for my $call (@calls) {
        my $done = eval { $call->[0]->(); 1 };
        ok(!$done && ref $@ && $@->isa('ShmKV::Error::BadArgument') && $@->file eq __FILE__, $call->[1]);
        like($@, qr/usage: \Q$call->[1]\E/, 'it says how');
    }
    my %usage = (
        touch => 'touch(key, ttl)', pop => 'pop()', sweep => 'sweep(max_steps)', incr => 'incr(key, amount, initial)',
        decr => 'decr(key, amount, initial)', at_least => 'at_least(key, number)', at_most => 'at_most(key, number)', each => 'each()',
    );
    for my $name (sort keys %usage) {
        refused($name, 'BadArgument', sub { $kv->$name('n', 1, 2, 3) }, say => "usage: $usage{$name}");
        refused($name, 'BadArgument', sub { $kv->$name }, say => "usage: $usage{$name}") if $usage{$name} =~ /key/;
    }
    refused('wait', 'BadArgument', sub { $kv->wait }, say => 'usage: wait(key, options)');
    refused('transaction', 'BadArgument', sub { $kv->transaction(['n'], sub { }, 1) }, say => 'usage: transaction(keys, sub)');
    for my $name (qw(next position close)) {
        my $error = eval { $kv->cursor->$name(1); 1 } ? 'none' : $@;
        like($error, qr/usage: $name\(\) at \Q@{[__FILE__]}\E line/, "cursor, $name");
    }
    for my $name (qw(set add replace swap get_or_set)) {
        refused($name, 'BadArgument', sub { $kv->$name('n') }, say => "usage: $name(key, value, options)");
    }
    refused('cas', 'BadArgument', sub { $kv->cas('n', 1) }, say => 'usage: cas');
    refused('cas_value', 'BadArgument', sub { $kv->cas_value('n', 7) }, say => 'usage: cas_value');
    for my $name (qw(modify get_or_compute lock)) {
        refused($name, 'BadArgument', sub { $kv->$name('n') }, say => 'a sub');
    }
    refused('transaction', 'BadArgument', sub { $kv->transaction(['n']) }, say => 'a sub');
    refused('put_many', 'BadArgument', sub { $kv->put_many('n') }, say => 'pairs');
    refused('put_many', 'BadArgument', sub { $kv->put_many(['n']) }, say => 'pairs');
};

bad_input 'a closed object' => sub {
    my $open = $kv;
    $kv = ShmKV->open($open->name);
    $kv->close;
    for my $name (sort keys %keyed) {
        refused($name, 'Closed', sub { $keyed{$name}->($kv, 'n') });
    }
    for my $name (sort keys %valued) {
        refused($name, 'Closed', sub { $valued{$name}->($kv, 'n', $name eq 'append' ? '1' : 1) });
    }
    for my $table (\%writes, \%reads) {
        for my $name (sort keys %$table) {
            refused($name, 'Closed', sub { $table->{$name}->($kv) });
        }
    }
    refused('freeze', 'Closed', sub { $kv->freeze });
};

sub refused_to_write {
    my ($class) = @_;

    for my $name (qw(delete delete_if take touch lock)) {
        refused($name, $class, sub { $keyed{$name}->($kv, 'n') }, key => 'n');
    }
    for my $name (qw(delete_many transaction)) {
        refused($name, $class, sub { $keyed{$name}->($kv, 'n') });
    }
    for my $name (sort keys %valued) {
        my $key = $name eq 'append' ? 't' : $name =~ /\A(add|get_or_set|get_or_compute|modify)\z/ ? 'k' : 'n';
        refused($name, $class, sub { $valued{$name}->($kv, $key, $name eq 'append' ? 'x' : 7) }, key => $name eq 'put_many' ? undef : $key);
    }
    for my $name (sort keys %writes) {
        refused($name, $class, sub { $writes{$name}->($kv) });
    }
    $_->($kv) for values %reads;
    return;
}

bad_input 'a read-only object' => sub {
    $kv = ShmKV->open($kv->name, mode => 'readonly');
    refused_to_write('ReadOnly');
    refused('freeze', 'ReadOnly', sub { $kv->freeze });
};

bad_input 'a frozen segment' => sub {
    $kv->freeze;
    refused_to_write('Frozen');
};

bad_input 'a full segment' => sub {
    $kv = ShmKV->open(segment(), max_size => 1 << 20);
    $kv->put_many(n => 7, t => 'bytes');
    my $was   = items_of($kv);
    my $large = 'x' x (2 << 20);
    my %left_out = map { $_ => 1 } @numeric, 'put_many', 'delete_value', 'cas_value', 'cas_value, expected';
    for my $name (grep { !$left_out{$_} } sort keys %valued) {
        my $key = $name =~ /\A(append|replace)\z/ ? 't' : 'k';
        refused($name, 'NoSpace', sub { $valued{$name}->($kv, $key, $large) }, key => $key);
    }
    refused('cas_value', 'NoSpace', sub { $kv->cas_value('n', 7, $large) }, key => 'n');
    is(refused('put_many', 'NoSpace', sub { $kv->put_many({ k => $large }) }, key => 'k')->done, 0, 'none is done');
    refused('transaction', 'NoSpace', sub {
        $kv->transaction(['k', 'n'], sub { $_[0]->put('n', 1); $_[0]->put('k', $large) });
    });
    unchanged($kv, $was);
};

bad_input 'subs that die' => sub {
    my $reference = { gone => 1 };
    for my $with ("gone\n", $reference) {
        my @calls = (
            sub { $kv->modify('n', sub { die $with }) },
            sub { $kv->get_or_compute('k', sub { die $with }) },
            sub { $kv->lock('n', sub { die $with }) },
            sub { $kv->transaction(['n', 't'], sub { $_[0]->put('n', 8); $_[0]->delete('t'); die $with }) },
        );
        for my $call (@calls) {
            ok(!eval { $call->(); 1 }, 'dies');
            is($@, $with, 'with what the sub died with');
        }
    }
};

done_testing;
