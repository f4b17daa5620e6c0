# Bad input: one class per code, the caller's line, and nothing changed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use TestSegment;

use ShmKV;

my $kv = ShmKV->open(segment());
$kv->put('k', 'v');

subtest 'keys' => sub {
    my %bad = (
        'empty'           => '',
        'undefined'       => undef,
        'too long'        => 'k' x 65537,
        'wide'            => "\x{263a}",
        'array reference' => [],
        'hash reference'  => {},
        'code'            => sub { 1 },
    );
    for my $name (sort keys %bad) {
        isa_ok died_with(sub { $kv->get($bad{$name}) }), 'ShmKV::Error::BadKey', "get, $name:";
        isa_ok died_with(sub { $kv->put($bad{$name}, 'x') }), 'ShmKV::Error::BadKey', "put, $name:";
        isa_ok died_with(sub { $kv->exists($bad{$name}) }), 'ShmKV::Error::BadKey', "exists, $name:";
        isa_ok died_with(sub { $kv->delete($bad{$name}) }), 'ShmKV::Error::BadKey', "delete, $name:";
    }
    like died_with(sub { $kv->put("\x{263a}", 1) }), qr/wide character; encode it first/, 'wide: what to do';
};

subtest 'values' => sub {
    my %bad = ('code' => sub { 1 }, 'glob' => \*STDOUT, 'scalar reference' => \1, 'object' => $kv);
    for my $name (sort keys %bad) {
        isa_ok died_with(sub { $kv->put('k', $bad{$name}) }), 'ShmKV::Error::BadValue', "$name:";
    }
    is_deeply $kv->get_all, { k => 'v' }, 'nothing has changed';
};

subtest 'names' => sub {
    my %bad = ('empty' => '', 'undefined' => undef, 'too long' => 'n' x 255, 'slash' => 'a/b', 'NUL' => "a\0b");
    for my $name (sort keys %bad) {
        for my $mode (qw(shared exclusive existing readonly)) {
            isa_ok died_with(sub { ShmKV->open($bad{$name}, mode => $mode) }), 'ShmKV::Error::BadName', "$mode, $name:";
        }
        isa_ok died_with(sub { ShmKV->unlink($bad{$name}) }), 'ShmKV::Error::BadName', "unlink, $name:";
    }
};

subtest 'options' => sub {
    my @bad = (
        [mode => 'sideways'], [mode => 5], [colour => 'red'], ['mode'], [reserve => 'much'], [reserve => -1],
        [owner_slots => 1.5], [permissions => 010000], [lock_timeout_ms => undef], [max_size => '1' x 30]);
    for my $options (@bad) {
        isa_ok died_with(sub { ShmKV->open($kv->name, @$options) }), 'ShmKV::Error::BadArgument',
            join ' ', map { defined() ? $_ : 'undef' } @$options;
    }
};

subtest 'objects' => sub {
    isa_ok died_with(sub { ShmKV::get('ShmKV', 'k') }), 'ShmKV::Error::BadArgument', 'a class:';
    isa_ok died_with(sub { ShmKV::get(undef, 'k') }), 'ShmKV::Error::BadArgument', 'undef:';
    isa_ok died_with(sub { ShmKV::get(bless({}, 'ShmKV'), 'k') }), 'ShmKV::Error::BadArgument', 'a forged hash:';
    my $number = 12345;
    isa_ok died_with(sub { ShmKV::get(bless(\$number, 'ShmKV'), 'k') }), 'ShmKV::Error::BadArgument', 'a forged pointer:';
    isa_ok died_with(sub { ShmKV::get($kv->cursor, 'k') }), 'ShmKV::Error::BadArgument', 'a cursor:';
    like died_with(sub { $kv->get }), qr/usage: get\(key\)/, 'too few arguments';
    like died_with(sub { $kv->put('k', 'v', 'w') }), qr/usage: put\(key, item\)/, 'too many arguments';
};

subtest 'what is not ours is left alone' => sub {
    my $name = segment();
    my $path = "/dev/shm/$name";
    open my $file, '>', $path or die "$path: $!";
    print {$file} 'somebody else' x 1000;
    close $file or die "$path: $!";
    for my $mode (qw(shared exclusive existing readonly)) {
        isa_ok died_with(sub { ShmKV->open($name, mode => $mode) }), 'ShmKV::Error::Foreign', "$mode:";
    }
    isa_ok died_with(sub { ShmKV->unlink($name) }), 'ShmKV::Error::Foreign', 'unlink:';
    is -s $path, 13_000, 'it is as it was';
    unlink $path or die "$path: $!";
};

subtest 'an error object' => sub {
    my $error = died_with(sub { $kv->put('', 'v') }); my $line = __LINE__;
    isa_ok $error, 'ShmKV::Error';
    is $error->code, -11, 'code';
    is $error->name, 'SHMKV_EKEY', 'name';
    like $error->detail, qr/bad key/, 'detail';
    is $error->line, $line, 'line';
    is $error->file, __FILE__, 'file';
    is "$error", $error->detail . ' at ' . __FILE__ . " line $line.\n", 'as a string';
    ok $error, 'is true';
    is died_with(sub { $error->throw }), $error, 'can be thrown again';

    $error = died_with(sub { ShmKV->open('/nowhere/at/all') });
    isa_ok $error, 'ShmKV::Error::SystemFailure', 'errno:';
    is $error->code, POSIX::ENOENT(), 'code is errno';
    is $error->name, undef, 'no name';
};

subtest 'the line is the caller\'s, through our own Perl too' => sub {
    my $error = died_with(sub { ShmKV->open('a/b') }); my $line = __LINE__;
    is $error->line, $line, 'open';
    is $error->file, __FILE__, 'in this file';
    $error = died_with(sub { ShmKV->open('x', mode => 'y') }); $line = __LINE__;
    is $error->line, $line, 'bad mode';
    $error = died_with(sub { ShmKV->unlink('a/b') }); $line = __LINE__;
    is $error->line, $line, 'unlink';
};

package Some::Path { use overload '""' => sub { $_[0]{path} } }

# What a handler of $SIG{__DIE__} hears.
sub heard {
    my ($code) = @_;

    my @heard;
    local $SIG{__DIE__} = sub { push @heard, $_[0] };
    eval { $code->() };
    return @heard;
}

subtest '$SIG{__DIE__} hears of each error once, and of none that is not one' => sub {
    my $kv = ShmKV->open(segment(), codec => [sub { 'coded' }, sub { 'decoded' }]);
    my $path = "$ENV{TEST_TMPDIR}/dump.$$";
    is_deeply([heard(sub { $kv->put(k => [sub { }]) })], [], 'a value for the codec');
    is_deeply([heard(sub { $kv->dump(bless { path => $path }, 'Some::Path') })], [], 'a path that is an object');
    unlink $path;
    my $plain = ShmKV->open($kv->name);
    my @heard = heard(sub { $plain->put(k => [sub { }]) });
    is(scalar @heard, 1, 'a bad value');
    like($heard[0], qr/key "k"/, 'where');
    @heard = heard(sub { open my $null, '<', '/dev/null' or die; $kv->load($null) });
    is(scalar @heard, 1, 'a bad dump');
    isa_ok($heard[0], 'ShmKV::Error::BadDump');
};

done_testing;
