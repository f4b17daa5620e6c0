# The conformance driver in Perl. README.md has the commands.

use strict;
use warnings;

use B ();
use JSON::PP ();
use ShmKV;

my $kv;

sub unhex { return $_[0] eq '-' ? '' : pack 'H*', $_[0] }

# The bytes that the format gives to a value of any type. What is not a plain string is
# asked for as bytes.
sub bytes_of {
    my ($key, $value) = @_;

    my $plain = defined $value && !ref $value && !utf8::is_utf8($value)
        && B::svref_2object(\$value)->FLAGS & B::SVf_POK;
    $value = $kv->get_bytes($key) if !$plain || $value eq '' || $value eq '1';
    return $value;
}

my $inf     = 9**9**9;
my %natives = (
    bytes    => "\0\xff\xe9",
    text     => "h\x{e9} \x{263a} \x{1f600}",
    ascii    => substr("text\x{263a}", 0, 4),
    int      => -7,
    least    => -9223372036854775807 - 1,
    most     => 9223372036854775807,
    float    => 0.1 + 0.2,
    whole    => 1.5 + 1.5,
    infinity => $inf,
    nan      => $inf - $inf,
    true     => JSON::PP::true(),
    false    => JSON::PP::false(),
    null     => undef,
    array    => [1, 2.5, "h\xe9", JSON::PP::true(), undef, [], {}],
    object   => { a => [1, 2], "\xe9" => { b => -9223372036854775807 - 1 }, x => 1e300 },
);

sub describe_string {
    my ($string) = @_;

    my $kind = utf8::is_utf8($string) ? 'text:' : 'bytes:';
    utf8::encode($string) if $kind eq 'text:';
    return $kind . unpack 'H*', $string;
}

# As README.md says. Names of hashes and strings inside arrays are text, with the flag or not.
sub describe {
    my ($value) = @_;

    return 'null' if !defined $value;
    return '[' . join(',', map { describe($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return '{' . join(',', sort map { describe_name($_) . '=' . describe($value->{$_}) } keys %$value) . '}'
        if ref $value eq 'HASH';
    no warnings 'experimental';
    return $value ? 'true' : 'false' if builtin::is_bool($value);
    my $flags = B::svref_2object(\$value)->FLAGS;
    return describe_string($value) if $flags & B::SVf_POK;
    return "int:$value"            if $flags & B::SVf_IOK;
    return $value != $value ? 'nan' : 'float:' . unpack 'H*', pack 'd>', $value;
}

sub describe_name {
    my ($name) = @_;

    utf8::upgrade($name);
    return describe_string($name);
}

sub tohex { return $_[0] eq '' ? '-' : unpack 'H*', $_[0] }

sub numbered {
    my $key = sprintf '%016d', $_[0];
    return ($key, $key x 2);
}

sub is_there {
    my ($key, $value) = numbered($_[0]);
    my $found = $kv->get($key);
    return defined $found && $found eq $value;
}

sub print_entry { print 'entry ', tohex($_[0]), ' ', tohex(bytes_of($_[0], $_[1])), "\n" }

sub do_open {
    my ($name, $mode, @options) = @_;
    undef $kv;
    $kv = ShmKV->open(unhex($name), mode => $mode, @options);
    print "ok\n";
}

sub do_unlink { ShmKV->unlink(unhex($_[0])); print "ok\n" }

# The value of a description, but for arrays and objects.
sub parse {
    my ($kind, $rest) = split /:/, $_[0], 2;

    return undef        if $kind eq 'null';
    return $inf - $inf  if $kind eq 'nan';
    return $kind eq 'true' ? JSON::PP::true() : JSON::PP::false() if !defined $rest && $kind =~ /^(?:true|false)$/;
    return 0 + $rest if $kind eq 'int';
    my $data = pack 'H*', $rest;
    return unpack 'd>', $data if $kind eq 'float';
    if ($kind eq 'text') {
        utf8::decode($data);
        utf8::upgrade($data);
    }
    return $data;
}

# Before the command has its answer.
sub tell_now { print STDOUT $_[0], "\n" }

# undef is no value of its own here: nobody asks for a null.
sub described { return defined $_[0] ? 'value ' . describe($_[0]) : 'absent' }
sub yes       { return $_[0]         ? 'yes'                     : 'no' }

sub item {
    my $found = $kv->get_item($_[0]) or return 'absent';
    return join ' ', 'item', describe($found->{value}), $found->{version}, $found->{expires_ns} || 0, $found->{bound} ? 1 : 0;
}

my %operation = (
    item     => \&item,
    get_many => sub {
        my $found = $kv->get_many(@_);
        return join ' ', 'values', map { exists $found->{$_} ? describe($found->{$_}) : 'absent' } @_;
    },
    set          => sub { $kv->set($_[0], $_[1], ttl => $_[2]); 'ok' },
    bind         => sub { $kv->set($_[0], $_[1], bound => 1); 'ok' },
    add          => sub { yes($kv->add($_[0], $_[1])) },
    replace      => sub { yes($kv->replace($_[0], $_[1])) },
    swap         => sub { described($kv->swap($_[0], $_[1])) },
    take         => sub { described($kv->take($_[0])) },
    cas          => sub { yes($kv->cas(@_)) },
    cas_value    => sub { yes($kv->cas_value(@_)) },
    delete       => sub { yes($kv->delete($_[0])) },
    delete_if    => sub { yes($kv->delete_if(@_)) },
    delete_value => sub { yes($kv->delete_value(@_)) },
    append       => sub { 'count ' . $kv->append(@_) },
    incr         => sub { described($kv->incr(@_)) },
    decr         => sub { described($kv->decr(@_)) },
    at_least     => sub { described($kv->at_least(@_)) },
    at_most      => sub { described($kv->at_most(@_)) },
    get_or_set   => sub { described($kv->get_or_set(@_)) },
    modify       => sub { described($kv->modify($_[0], sub { defined $_[0] ? 2 * $_[0] : 1 })) },
    touch        => sub { yes($kv->touch(@_)) },
    pop          => sub {
        my ($key, $value) = $kv->pop or return 'absent';
        return join ' ', 'entry', tohex($key), describe($value);
    },
    clear => sub { 'count ' . $kv->clear },
    sweep => sub { 'count ' . $kv->sweep },
    wait  => sub {
        my ($key, $version, $seconds) = @_;
        tell_now('waiting');
        return yes($kv->wait($key, version => $version, timeout => $seconds));
    },
    watch => sub {
        my ($position, $seconds) = @_;
        tell_now('waiting');
        my ($changed, $now) = $kv->watch($position, timeout => $seconds);
        return ($changed ? 'changed ' : 'unchanged ') . $now;
    },
    hold => sub {
        my ($name, $seconds) = @_;
        tell_now('waiting');
        $kv->lock($name, sub {
            tell_now("held $_[0]");
            return scalar <STDIN>;
        }, timeout => $seconds);
        return 'ok';
    },
    compute => sub {
        my ($key, $seconds) = @_;
        tell_now('waiting');
        return described($kv->get_or_compute($key, sub {
            tell_now('computing');
            my ($word) = split ' ', scalar <STDIN>;
            return parse($word);
        }, timeout => $seconds));
    },
    freeze => sub { $kv->freeze; 'ok' },
    sync   => sub { $kv->sync;   'ok' },
    dump  => sub { 'count ' . $kv->dump($_[0]) },
    load  => sub { 'count ' . $kv->load($_[0], defined $_[1] ? ($_[1] => 1) : ()) },
    info  => sub { join ' ', 'info', @{ $kv->info }{qw(default_ttl_ns max_entries max_size frozen)} },
    stats => sub { join ' ', 'stats', @{ $kv->stats }{qw(entries evictions)} },
    locks => sub {
        my $locks = $kv->locks;
        return join ' ', 'locks', scalar @$locks, scalar grep { defined $_->{owner} } @$locks;
    },
    owners => sub {
        my @alive = map { $_->{pid} } grep { $_->{liveness} eq 'alive' } @{ $kv->owners };
        return join ' ', 'owners', sort { $a <=> $b } @alive;
    },
);

my %command = (
    call => sub {
        my ($name, @words) = @_;
        print $operation{$name}->(map { parse($_) } @words), "\n";
    },
    put    => sub { $kv->put(unhex($_[0]), unhex($_[1])); print "ok\n" },
    get    => sub {
        my $key   = unhex($_[0]);
        my $value = $kv->get($key);
        my $there = defined $value || $kv->exists($key);
        print $there ? 'value ' . tohex(bytes_of($key, $value)) : 'absent', "\n";
    },
    native   => sub { $kv->put($_[0], $natives{ $_[0] }); print "ok\n" },
    describe => sub { print 'value ', describe($kv->get($_[0])), "\n" },
    exchange => sub {
        my ($one, $other) = @_;
        $kv->transaction([$one, $other], sub {
            my ($txn) = @_;
            my @values = ($txn->get($one), $txn->get($other));
            $txn->put($other, $values[0]);
            $txn->put($one,   $values[1]);
        });
        print "ok\n";
    },
    transfer => sub {
        my ($from, $to, $count) = @_;
        $kv->transaction([$from, $to], sub {
            $_[0]->put($from, ($_[0]->get($from) || 0) - 1);
            $_[0]->put($to,   ($_[0]->get($to) || 0) + 1);
        }) for 1 .. $count;
        print "ok\n";
    },
    delete => sub { print $kv->delete(unhex($_[0])) ? "ok\n" : "absent\n" },
    exists => sub { print $kv->exists(unhex($_[0])) ? "yes\n" : "no\n" },
    count  => sub { print 'count ', $kv->get_size, "\n" },
    all    => sub {
        my $all = $kv->get_all;
        print_entry($_, $all->{$_}) for keys %$all;
        print "end\n";
    },
    walk => sub {
        my $cursor = $kv->cursor;
        while (my ($key, $value) = $cursor->next) {
            print_entry($key, $value);
        }
        print "end\n";
    },
    verify => sub { print 'count ', scalar @{ $kv->verify }, "\n" },
    load   => sub {
        my ($first, $count) = @_;
        $kv->put(numbered($_)) for $first .. $first + $count - 1;
        print "ok\n";
    },
    put_many => sub {
        my ($first, $count) = @_;
        $kv->put_many(map { numbered($_) } $first .. $first + $count - 1);
        print "ok\n";
    },
    delete_many => sub {
        my ($first, $count) = @_;
        print 'count ', $kv->delete_many(map { (numbered($_))[0] } $first .. $first + $count - 1), "\n";
    },
    steps => sub {
        my ($prefix, $from, $count) = @_;
        my $cursor = $kv->cursor(prefix => unhex($prefix), position => $from eq '-' ? undef : unhex($from));
        while ($count-- > 0 and my ($key, $value) = $cursor->next) {
            print_entry($key, $value);
        }
        print 'end ', tohex($cursor->position), "\n";
    },
    check => sub {
        my ($first, $count) = @_;
        my $good = 0;
        is_there($_) && $good++ for $first .. $first + $count - 1;
        print "count $good\n";
    },
    watch => sub {
        my ($first, $count, $stop) = @_;
        my $missed = 0;
        do {
            is_there($_) || $missed++ for $first .. $first + $count - 1;
        } until $kv->exists(unhex($stop));
        print "missed $missed\n";
    },
    close => sub { $kv->close; undef $kv; print "ok\n" },
);

sub run {
    my ($name, @words) = @_;

    return do_open(@words)   if $name eq 'open';
    return do_unlink(@words) if $name eq 'unlink';
    return print "error ECLOSED\n" if !$kv;
    return print "error unknown command\n" if !$command{$name};
    return $command{$name}->(@words);
}

$| = 1;
binmode STDOUT, ':unix';
while (my $line = <STDIN>) {
    # One write per answer.
    my $answer = '';
    open my $out, '>', \$answer or die $!;
    my $stdout = select $out;
    if (!eval { run(split ' ', $line); 1 }) {
        my $error = $@;
        die $error if !ref $error;
        print $error->code > 0 ? 'error errno ' . $error->code : 'error ' . substr($error->name, length 'SHMKV_'), "\n";
    }
    select $stdout;
    print $answer;
}
