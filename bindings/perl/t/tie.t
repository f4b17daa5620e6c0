# A tied hash does what a hash does, for another one that is tied to the same segment as well.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

my $name = segment();
my $object = tie my %h, 'ShmKV', $name;
tie my %other, 'ShmKV', $name;

sub start_with {
    my (%pairs) = @_;

    %h = ();
    @h{ keys %pairs } = values %pairs;
    return;
}

subtest 'one key' => sub {
    start_with(a => 1, n => undef);
    is $other{a}, 1, 'FETCH';
    ok exists $other{n} && !defined $other{n}, 'undef is a value';
    ok !exists $other{none}, 'EXISTS not';
    ok !exists $other{none}, 'which makes none';
    is delete $h{a}, 1, 'DELETE gives the value';
    is delete $h{a}, undef, 'or undef';
    ok !exists $other{a}, 'it is gone';
    is $h{count}++, 0, '++ gives the number from before';
    $h{count} += 5;
    is $other{count}, 6, 'and counts';
    $h{text} = 'a';
    $h{text} .= 'b';
    is $other{text}, 'ab', '.=';
    $h{count} //= 7;
    $h{new}   //= 7;
    is "$other{count} $other{new}", '6 7', '//=';
    my $reference = \$h{count};
    $$reference = 8;
    is $other{count}, 8, 'by a reference';
    $_ = 9 for $h{count};
    is $other{count}, 9, 'by an alias';
};

subtest 'several keys' => sub {
    start_with(map { $_ => "v$_" } qw(a b c));
    is_deeply [@h{qw(a none c)}], ['va', undef, 'vc'], 'a slice';
    is_deeply { %h{qw(a b)} }, { a => 'va', b => 'vb' }, 'of pairs';
    @h{qw(d e)} = (4, 5);
    is "$other{d}$other{e}", '45', 'as a place';
    is_deeply [map { exists $h{$_} ? 1 : 0 } qw(a none e)], [1, 0, 1], 'exists';
    is_deeply [delete @h{qw(a none d)}], ['va', undef, 4], 'delete of a slice';
    is_deeply { delete %h{qw(b)} }, { b => 'vb' }, 'delete of pairs';
    is_deeply { %other }, { c => 'vc', e => 5 }, 'what is left';
};

subtest 'all keys' => sub {
    start_with(map { $_ => 1 } 1 .. 50);
    is scalar(keys %h), 50, 'keys in scalar context';
    is scalar(%h), 50, 'the hash in scalar context';
    ok !!%h, 'and as a condition';
    is_deeply [sort { $a <=> $b } keys %h], [1 .. 50], 'keys';
    is_deeply [values %h], [(1) x 50], 'values';
    %h = (x => 1, y => [1, 2], z => undef);
    is_deeply { %other }, { x => 1, y => [1, 2], z => undef }, 'assigned';
    %h = ();
    ok !%other, 'emptied';
    is scalar(keys %other), 0, 'for all';
};

subtest 'local' => sub {
    start_with(a => 1, b => 2);
    {
        local $h{a} = 'local';
        local $h{new} = 'new';
        is "$other{a} $other{new}", 'local new', 'a value for a while, for everybody';
    }
    is $other{a}, 1, 'and then the one from before';
    ok !exists $other{new}, 'or none';
    {
        local @h{qw(a b)} = (3, 4);
        is "$other{a} $other{b}", '3 4', 'of a slice';
    }
    is_deeply { %other }, { a => 1, b => 2 }, 'and back';
    {
        delete local $h{a};
        ok !exists $other{a}, 'delete local';
    }
    is $other{a}, 1, 'and back';
    eval { local $h{a} = 5; die "out\n" };
    is $other{a}, 1, 'also when it is left by die';
};

subtest 'each, and changes meanwhile' => sub {
    start_with(map { $_ => $_ } 1 .. 100);
    my %seen;
    while (my ($key, $value) = each %h) {
        $seen{$key}++;
        is delete $h{$key}, $value, "delete $key" if $key % 10 == 0;
    }
    is_deeply \%seen, { map { $_ => 1 } 1 .. 100 }, 'each key once';
    is scalar(keys %other), 90, 'those deleted are gone';
    delete $h{$_} while defined($_ = each %h);
    is scalar(%other), 0, 'delete of all';

    start_with(map { $_ => $_ } 1 .. 20);
    my @pairs;
    while (my ($mine) = each %h) {
        my ($its) = each %other;
        push @pairs, [$mine, $its];
    }
    is_deeply [sort { $a <=> $b } map { $_->[1] } @pairs], [1 .. 20], 'two hashes walk at once, each by itself';
    my ($first) = each %h;
    each %h;
    keys %h;
    my ($again) = each %h;
    is $again, $first, 'keys begins anew';
    keys %h;
    while (my ($key) = each %h) {
        last;
    }
    is scalar(my @all = keys %h), 20, 'a walk that was broken off holds nothing up';
    is_deeply $object->verify, [], 'it is whole';
};

subtest 'what is inside a value is a copy' => sub {
    start_with(list => [1]);
    push @{ $h{list} }, 2;
    is_deeply $other{list}, [1], 'so it stays';
    $h{list} = [@{ $h{list} }, 2];
    is_deeply $other{list}, [1, 2], 'assigned, it changes';
};

subtest 'errors come from the line that uses the hash' => sub {
    start_with(a => 1);
    my %use = (
        FETCH => sub { $h{''} }, STORE => sub { $h{''} = 1 }, EXISTS => sub { exists $h{''} }, DELETE => sub { delete $h{''} },
        value => sub { $h{a} = sub { } }, slice => sub { my @got = @h{ 'a', '' } }, local => sub { local $h{''} = 1 },
        list => sub { %h = (a => 1, '' => 2) }, '++' => sub { $h{''}++ },
        TIEHASH => sub { tie my %new, 'ShmKV', 'a/b' }, options => sub { tie my %new, 'ShmKV', $name, colour => 1 },
    );
    my $from = __LINE__ - 5;
    for my $what (sort keys %use) {
        my $error = died_with($use{$what});
        isa_ok $error, 'ShmKV::Error', "$what:";
        is $error->file, __FILE__, "$what: the file";
        cmp_ok abs($error->line - $from - 2), '<=', 3, "$what: the line" or diag $error;
    }
    my $read_only = tie my %reads, 'ShmKV', $name, mode => 'readonly';
    for my $write (sub { $reads{a} = 1 }, sub { delete $reads{a} }, sub { %reads = () }, sub { local $reads{a} = 1 }) {
        my $error = died_with($write);
        isa_ok $error, 'ShmKV::Error::ReadOnly';
        is $error->file, __FILE__, 'the file';
    }
    $read_only->close;
    for my $read (sub { $reads{a} }, sub { my @keys = keys %reads }, sub { scalar %reads }, sub { each %reads }, sub { exists $reads{a} }) {
        my $error = died_with($read);
        isa_ok $error, 'ShmKV::Error::Closed';
        is $error->file, __FILE__, 'the file';
    }
};

# Run a program with the module, which may end as it likes.
sub perl {
    my ($program, @options) = @_;

    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT or die "STDERR: $!";
        exec $^X, @options, (map { "-I$_" } grep { !ref } @INC), '-e', $program, $name or die "$^X: $!";
    }
    local $/;
    my $said = <$out>;
    close $out;
    return ($? >> 8, $? & 127, $said);
}

subtest 'global destruction' => sub {
    my ($status, $signal, $said) = perl(<<'END');
        use strict; use warnings; use ShmKV;
        our $kv = ShmKV->open($ARGV[0]);
        our $cursor = $kv->cursor;
        $cursor->next;
        our ($walked, %h) = ShmKV->open($ARGV[0]);
        $walked->each;
        tie %h, 'ShmKV', $ARGV[0], codec => [sub { 'x' }, sub { $_[0] }];
        each %h;
        our @circle = ($kv); push @circle, \@circle;
        sub Late::DESTROY { my $got = eval { $kv->get('k'); 1 }; print 'late' }
        our $late = bless {}, 'Late';
        $kv->put(k => 1), $kv->set(bound => 1, bound => 1);
END
    is "$status $signal $said", '0 0 late', 'in whichever order, without a word';
    ok !$object->exists('bound'), 'and what was bound to the process is gone';
    is $object->get('k'), 1, 'the rest is not';
    is_deeply $object->verify, [], 'it is whole';
};

subtest 'perl -T' => sub {
    start_with(text => "t\x{100}", bytes => 'b', number => 5, float => 2.5, json => { in => ['side'] }, long => 'x' x 10_000);
    my ($status, $signal, $said) = perl(<<'END', '-T');
        use strict; use warnings; use ShmKV; use Scalar::Util 'tainted';
        my ($name) = $ARGV[0] =~ /\A([\w-]+)\z/;
        my $kv = ShmKV->open($name);
        my %type = map { $_ => tainted($kv->get($_)) ? 1 : 0 } $kv->keys;
        print join ' ', map { "$_=$type{$_}" } sort keys %type;
        my @lists = ([$kv->keys], [$kv->each], [$kv->cursor->next], [values %{ $kv->get_all }], [values %{ $kv->get_many('text', 'bytes') }],
            [map { $_->{value} } $kv->get_item('text')], [$kv->get_or_set('text', 1)], [$kv->get_bytes('json')], [$kv->get('json')->{in}[0]],
            [$kv->swap('text', 't')], [$kv->transaction(['text'], sub { $_[0]->get('text') })], [$kv->take('text')], [$kv->pop]);
        print ' ', join '', map { (grep { !ref && !tainted($_) } @$_) ? 0 : 1 } @lists;
        print ' ', tainted($kv->name) + 0, tainted($kv->get_size) + 0, tainted($kv->get('none')) + 0, tainted('constant') + 0;
        $kv->put(arg => $ARGV[0]);
        $kv->put($ARGV[0] => 1);
        tie my %h, 'ShmKV', $name;
        print ' ', tainted($h{arg}) + 0, tainted(scalar(my ($k) = keys %h)) + 0;
        my $copy = $kv->get('number') // $kv->get('float');
        print ' ', eval { system "true $copy"; 1 } ? 'done' : $@ =~ /Insecure/ ? 'refused' : $@;
END
    is "$status $signal $said", '0 0 bytes=1 float=1 json=0 long=1 number=1 text=1 1111111111111 0000 10 refused',
        'what comes out of a segment is tainted';
    ($status, $signal, $said) = perl('use ShmKV; use Scalar::Util "tainted"; print 0 + tainted(ShmKV->open($ARGV[0])->get("arg"))');
    is "$status $signal $said", '0 0 0', 'only there';
};

untie %h;
done_testing;
