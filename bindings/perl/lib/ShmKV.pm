package ShmKV;

use strict;
use warnings;

our $VERSION = '0.1.0';

use IO::Handle ();
use overload ();
use Scalar::Util ();
use ShmKV::Value ();

require XSLoader;
XSLoader::load('ShmKV');

# The XS subs under their method names: a method call goes straight into C.
BEGIN {
    no strict 'refs';
    for my $name (qw(put get get_bytes get_item take append clear delete delete_if delete_value exists get_size get_all
        info stats verify locks owners freeze sync close closed)) {
        *{$name} = \&{"Store_$name"};
    }
    *name = \&Store_name;
}

my %MODE = (shared => 0, exclusive => 1, existing => 2, readonly => 3);

# Options of open() that are numbers, with their largest value.
my %LIMIT = (
    reserve         => ~0,
    lock_timeout_ms => 0xffff_ffff,
    permissions     => 07777,
    owner_slots     => 0xffff_ffff,
    max_size        => ~0,
    max_entries     => ~0,
    max_bytes       => ~0,
);

# Of each option that is true or false, the bit in shmkv_options.flags.
my %FLAG = (stay => 1, any_owner => 2, huge_pages => 4);

use constant { KEYS => 0, VALUES => 1, ITEMS => 2 };
use constant { DUMP_SNAPSHOT => 1, LOAD_KEEP => 1, LOAD_REPLACE => 2 };
use constant { ALWAYS => 0, IF_ABSENT => 1, IF_PRESENT => 2 };
use constant { ADD => 0, SUBTRACT => 1, AT_LEAST => 2, AT_MOST => 3 };

sub open {
    my ($class, $name, @options) = @_;

    _refuse($name, 'options come in pairs: name => value') if @options % 2;
    my %given = @options;
    my $mode  = CORE::delete $given{mode};
    my $codec = CORE::delete $given{codec};
    my $flags = 0;
    my %number = map { $_ => 0 } CORE::keys %LIMIT;
    my $ttl = CORE::delete $given{default_ttl};
    my $evict = CORE::delete $given{evict};

    $mode = 'shared' if !defined $mode;
    if (!defined $ttl) {
        $ttl = 0;
    }
    elsif (!Scalar::Util::looks_like_number($ttl) || !($ttl >= 0)) {
        _refuse($name, "default_ttl is a number of seconds from 0 on, not '$ttl'");
    }
    _refuse($name, "mode is shared, exclusive, existing or readonly, not '$mode'")
        if !CORE::exists $MODE{$mode};
    _refuse($name, 'codec is a reference to an array of two subs')
        if defined $codec && !(ref $codec eq 'ARRAY' && @$codec == 2 && 2 == grep { ref $_ eq 'CODE' } @$codec);
    for my $option (sort { $a cmp $b } CORE::keys %given) {
        my $value = $given{$option};
        if (CORE::exists $FLAG{$option}) {
            $flags |= $FLAG{$option} if $value;
        }
        elsif (CORE::exists $LIMIT{$option}) {
            _refuse($name, "option $option is a number from 0 to $LIMIT{$option}")
                if !defined $value || $value !~ /\A[0-9]{1,20}\z/ || $value > $LIMIT{$option};
            $number{$option} = $value;
        }
        else {
            _refuse($name, "no such option: $option");
        }
    }
    my $self = new_Store($name, $MODE{$mode}, $flags,
        @number{qw(reserve lock_timeout_ms permissions owner_slots max_size)},
        $ttl, @number{qw(max_entries max_bytes)}, $evict ? 1 : 0);
    Store_use_codec($self, @$codec) if $codec;
    return bless $self, ref $class || $class;
}

# The values of these options, from name => value pairs.
sub _options {
    my ($self, $names, @options) = @_;

    _refuse($self, 'options come in pairs: name => value') if @options % 2;
    my %given = @options;
    my @values = CORE::delete @given{@$names};
    _refuse($self, 'no such option: ' . join ', ', sort { $a cmp $b } CORE::keys %given) if %given;
    return @values;
}

# Time to live and bound, for the extension, from the options behind a value.
sub _ending {
    my ($ttl, $bound) = @_ > 1 ? _options(shift, [qw(ttl bound)], @_) : ();
    return ($ttl, $bound ? 1 : 0);
}

# In what takes a value, undef is one: that there is none is seen by the number of arguments.
sub _usage {
    my ($self, $usage) = @_;

    return _refuse($self, "wrong number of arguments; usage: $usage");
}

sub _expect_sub {
    my ($self, $code, $usage) = @_;

    _refuse($self, $usage) if ref $code ne 'CODE' && !(ref $code && overload::Method($code, '&{}'));
    return;
}

# With the name of what it is about: an object, or a segment.
sub _refuse {
    my ($of, $why) = @_;

    my $name
        = UNIVERSAL::isa($of, 'ShmKV::Transaction') ? Transaction_segment($of)
        : ref $of && UNIVERSAL::isa($of, 'ShmKV')   ? Store_name($of)
        :                                             $of;
    return _refuse_argument(ref $name ? undef : $name, $why);
}

sub set {
    my ($self, $key, undef, @options) = @_;

    _usage($self, 'set(key, value, options)') if @_ < 3;
    Store_store_as($self, $key, ALWAYS, $_[2], _ending($self, @options));
    return 1;
}

sub add {
    my ($self, $key, undef, @options) = @_;

    _usage($self, 'add(key, value, options)') if @_ < 3;
    return Store_store_as($self, $key, IF_ABSENT, $_[2], _ending($self, @options));
}

sub replace {
    my ($self, $key, undef, @options) = @_;

    _usage($self, 'replace(key, value, options)') if @_ < 3;
    return Store_store_as($self, $key, IF_PRESENT, $_[2], _ending($self, @options));
}

sub swap {
    my ($self, $key, undef, @options) = @_;

    _usage($self, 'swap(key, value, options)') if @_ < 3;
    return Store_swap($self, $key, $_[2], _ending($self, @options));
}

sub cas {
    my ($self, $key, $version, undef, @options) = @_;

    _usage($self, 'cas(key, version, value, options)') if @_ < 4;
    return Store_cas($self, $key, $version, $_[3], _ending($self, @options));
}

sub cas_value {
    my ($self, $key, undef, undef, @options) = @_;

    _usage($self, 'cas_value(key, expected, value, options)') if @_ < 4;
    return Store_cas_value($self, $key, $_[2], $_[3], _ending($self, @options));
}

sub get_or_set {
    my ($self, $key, undef, @options) = @_;

    _usage($self, 'get_or_set(key, value, options)') if @_ < 3;
    return Store_get_or_set($self, $key, $_[2], _ending($self, @options));
}

# Without a ttl, never.
sub touch {
    my ($self, $key, $ttl) = @_;

    _usage($self, 'touch(key, ttl)') if @_ < 2 || @_ > 3;
    return Store_touch($self, $key, $ttl);
}

sub pop {
    my ($self) = @_;

    _usage($self, 'pop()') if @_ > 1;
    my $pair = Store_pop_pair($self);
    return $pair ? @$pair : ();
}

sub sweep {
    my ($self, $max_steps) = @_;

    _usage($self, 'sweep(max_steps)') if @_ > 2;
    return Store_sweep($self, defined $max_steps ? $max_steps : 0);
}

sub incr {
    my ($self, $key, $amount, $initial) = @_;

    _usage($self, 'incr(key, amount, initial)') if @_ < 2 || @_ > 4;
    return Store_count_with($self, $key, ADD, defined $amount ? $amount : 1, defined $initial ? $initial : 0);
}

sub decr {
    my ($self, $key, $amount, $initial) = @_;

    _usage($self, 'decr(key, amount, initial)') if @_ < 2 || @_ > 4;
    return Store_count_with($self, $key, SUBTRACT, defined $amount ? $amount : 1, defined $initial ? $initial : 0);
}

sub at_least {
    _usage($_[0], 'at_least(key, number)') if @_ != 3;
    return Store_count_with($_[0], $_[1], AT_LEAST, $_[2], $_[2]);
}

sub at_most {
    _usage($_[0], 'at_most(key, number)') if @_ != 3;
    return Store_count_with($_[0], $_[1], AT_MOST, $_[2], $_[2]);
}

sub modify {
    my ($self, $key, $code, @options) = @_;

    _expect_sub($self, $code, 'modify takes a key and a sub');
    my @ending = _ending($self, @options);
    my $item   = $self->get_item($key);
    my $value  = $code->($item ? $item->{value} : undef);
    my ($version, $ends) = $item ? ($item->{version}, $item->{expires_ns} || 0) : (0, 0);
    return $value if Store_store_modified($self, $key, $version, $ends, $value, @ending);
    goto &modify;    # and no loop here, which a last or next in the sub would mean
}

sub wait {
    my ($self, $key, @options) = @_;

    _usage($self, 'wait(key, options)') if @_ < 2;
    my ($version, $timeout) = _options($self, [qw(version timeout)], @options);
    return Store_wait($self, $key, defined $version ? 1 : 0, defined $version ? $version : 0, $timeout);
}

sub watch {
    my ($self, $position, @options) = @_;

    my ($timeout) = _options($self, ['timeout'], @options);
    return @{ Store_watch($self, defined $position ? $position : 0, $timeout) };
}

sub lock {
    my ($self, $name, $code, @options) = @_;

    _expect_sub($self, $code, 'lock takes a name and a sub');
    my ($timeout) = _options($self, ['timeout'], @options);
    my $wants = wantarray;
    my @result;
    Store_hold($self, $name, $timeout, sub {
        if   ($wants) { @result = $code->(@_) }
        else          { $result[0] = $code->(@_) }
        return 1;
    });
    return $wants ? @result : $result[0];
}

sub transaction {
    my ($self, $keys, $code) = @_;

    _usage($self, 'transaction(keys, sub)') if @_ > 3;
    _expect_sub($self, $code, 'transaction takes keys and a sub');
    return Store_transaction($self, $keys, $code);
}

sub get_or_compute {
    my ($self, $key, $code, @options) = @_;

    _expect_sub($self, $code, 'get_or_compute takes a key and a sub');
    my ($timeout, $ttl, $bound) = _options($self, [qw(timeout ttl bound)], @options);
    my $item = $self->get_item($key);
    return $item->{value} if $item;
    return scalar $self->lock($key, sub {
        $item = $self->get_item($key);
        return $item->{value} if $item;
        my $value = $code->();
        $self->set($key, $value, ttl => $ttl, bound => $bound);
        return $value;
    }, timeout => $timeout);
}

sub get_many {
    my ($self, @keys) = @_;

    return Store_get_many($self, \@keys);
}

# Of a hash or a list of pairs, by reference and before options, or of a list of pairs.
sub put_many {
    my $self = shift;

    my $pairs = \@_;
    my @options;
    if (@_ && (ref $_[0] eq 'HASH' || ref $_[0] eq 'ARRAY')) {
        ($pairs, @options) = @_;
        $pairs = [%$pairs] if ref $pairs eq 'HASH';
    }
    _refuse($self, 'put_many takes pairs of a key and a value') if @$pairs % 2;
    return Store_put_many($self, $pairs, _ending($self, @options));
}

sub delete_many {
    my ($self, @keys) = @_;

    return Store_delete_many($self, \@keys);
}

# What is behind a handle, with its descriptor; nothing for a file's name.
sub _handle {
    my ($self, $file) = @_;

    my $handle = do { local ($@, $SIG{__DIE__}); eval { *{$file}{IO} } if ref $file || ref \$file eq 'GLOB' };
    return if !$handle;
    my $fd = fileno $handle;
    _refuse($self, 'the handle is closed, or has no file behind it') if !defined $fd || $fd < 0;
    return ($handle, $fd);
}

sub dump {
    my ($self, $file, @options) = @_;

    my ($snapshot) = _options($self, ['snapshot'], @options);
    my ($handle, $fd) = _handle($self, $file);
    my $flags = $snapshot ? DUMP_SNAPSHOT : 0;
    return Store_dump_path($self, $file, $flags) if !$handle;
    IO::Handle::flush($handle);
    return Store_dump_fd($self, $fd, $flags);
}

sub load {
    my ($self, $file, @options) = @_;

    my ($keep, $replace) = _options($self, [qw(keep replace)], @options);
    _refuse($self, 'load takes keep or replace, not both') if $keep && $replace;
    my ($handle, $fd) = _handle($self, $file);
    my $flags = ($keep ? LOAD_KEEP : 0) | ($replace ? LOAD_REPLACE : 0);
    return Store_load_path($self, $file, $flags) if !$handle;
    # What the handle has read ahead goes back to the file before; and after that, it is told
    # where the file stands, also if the dump was no good.
    my $seekable = seek $handle, tell $handle, 0;
    my ($entries, $error);
    {
        local ($@, $SIG{__DIE__});
        $entries = eval { Store_load_fd($self, $fd, $flags) };
        $error   = $@;
    }
    seek $handle, sysseek($handle, 0, 1), 0 if $seekable;
    die $error if !defined $entries;
    return $entries;
}

sub unlink {
    my ($self, $name) = @_;

    return _unlink_segment(@_ > 1 ? $name : ref $self ? $self->name : undef);
}

sub keys {
    my ($self, @options) = @_;

    my ($prefix) = _options($self, ['prefix'], @options);
    _end_walk($self);
    return $self->get_size if !wantarray && !defined $prefix;
    my $cursor = Store_cursor($self, KEYS, $prefix, undef);
    my @keys;
    while (my ($key) = $cursor->next) {
        push @keys, $key;
    }
    return @keys;
}

sub each {
    _usage($_[0], 'each()') if @_ > 1;
    return _walk_step($_[0], ITEMS);
}

sub cursor {
    my ($self, @options) = @_;

    my ($prefix, $position, $keys_only) = _options($self, [qw(prefix position keys_only)], @options);
    return Store_cursor($self, $keys_only ? KEYS : ITEMS, $prefix, $position);
}

sub version {
    return _library_version();
}

# tie my %h, 'ShmKV', $name, mode => ...

BEGIN {
    *TIEHASH = \&open;
    *FETCH   = \&get;
    *STORE   = \&put;
    *EXISTS  = \&exists;
    *SCALAR  = \&get_size;
}

sub DELETE {
    goto &take;
}

sub CLEAR {
    my ($self) = @_;

    $self->clear;
    return;
}

sub FIRSTKEY {
    _end_walk($_[0]);
    return _walk_step($_[0], KEYS);
}

sub NEXTKEY {
    return _walk_step($_[0], KEYS);
}

package ShmKV::Cursor;

BEGIN {
    *next     = \&ShmKV::Cursor_step;
    *close    = \&ShmKV::Cursor_close;
    *position = \&ShmKV::Cursor_position_get;
}

package ShmKV::Transaction;

BEGIN {
    *get    = \&ShmKV::Transaction_get;
    *exists = \&ShmKV::Transaction_exists;
    *put    = \&ShmKV::Transaction_put;
    *delete = \&ShmKV::Transaction_delete;
}

sub set {
    my ($self, $key, undef, @options) = @_;

    ShmKV::_usage($self, 'set(key, value, options)') if @_ < 3;
    return ShmKV::Transaction_set($self, $key, $_[2], ShmKV::_ending($self, @options));
}

package ShmKV::Error;

# Objects are made in C: bless { code, name, detail, file, line }, 'ShmKV::Error::…'.
use overload '""' => \&message, bool => sub { 1 }, fallback => 1;

sub code   { return $_[0]{code} }
sub name   { return $_[0]{name} }
sub detail { return $_[0]{detail} }
sub done   { return $_[0]{done} }
sub file   { return $_[0]{file} }
sub line   { return $_[0]{line} }

sub message {
    my ($self) = @_;

    return "$self->{detail} at $self->{file} line $self->{line}.\n";
}

sub throw { die $_[0] }

sub _refuse_argument {
    return ShmKV::_refuse_argument(undef, $_[0]);
}

1;

__END__

=encoding UTF-8

=head1 NAME

ShmKV - a named, persistent key-value store in shared memory

=head1 SYNOPSIS

    use ShmKV;

    my $kv = ShmKV->open('sessions');          # create or attach
    $kv->put('user:7', 'Ada');                 # any bytes, any size
    print $kv->get('user:7'), "\n";

    while (my ($key, $value) = $kv->each) {    # no lock is held
        print "$key: ", length $value, " bytes\n";
    }
    $kv->close;                                # the segment stays
    ShmKV->unlink('sessions');                 # now it goes

    tie my %h, 'ShmKV', 'sessions';            # or as a hash
    $h{'user:8'} = 'Grace';

=head1 DESCRIPTION

Any number of processes, in Perl, Python, Ruby or C, open the same segment by name
and read and write it as if it were a hash of their own. Readers never wait. A
process that is killed leaves every key with its old or its new value.

The segment outlives every process; it goes with C<unlink>, or with the next boot.
A name with a slash (C</dir/file>, C<./file>, C<../file>) is a regular file.

=head2 Keys

Keys (1 to 65536 bytes) are bytes. A string's characters are its bytes, whichever way
Perl holds it inside: C<"\xe9"> is the same key with and without the UTF-8 flag. A
character above 255 is refused: encode text first (C<Encode::encode_utf8>). What comes
back is a string of bytes. Undefined values and references are refused; numbers and
objects that overload C<""> are strings.

=head2 Values

Values keep their type, in other languages too:

=over

=item *

a string with the UTF-8 flag is text, one without it is bytes. The flag is the only thing
that tells: decode text when it comes in, and C<use utf8>;

=item *

an integer is an integer of 64 bits, a floating-point number a float. A scalar that has
a string, such as C<"42"> after it was used as a number, is a string: write C<0 + $n>. Before
Perl 5.36 an integer that was printed has become a string;

=item *

C<!!1> and C<!!0> are booleans from Perl 5.36 on, C<JSON::PP::true> and C<JSON::PP::false> always;

=item *

C<undef> is null;

=item *

a reference to a plain array or hash is stored as JSON, and comes back as one. Strings
inside are text;

=item *

an object that overloads C<""> is its string.

=back

What would lose something is refused with C<BadValue>: integers from 2^63 on, NaN and
infinity inside an array, other references. Text that a peer stored and that is none dies
with C<BadType>; C<get_bytes> gives the bytes of any value.

Under C<perl -T> what comes out of a segment, keys, values and what is inside of these, is tainted, as all
that others may have written; but not the keys of a hash (C<get_all>), which Perl cannot taint.

=head2 fork, threads and signals

An object opened before a fork works in both processes, and each may close its own. One that
can write has two descriptors of its own: who closes descriptors that it has not opened, as a daemon may when it
starts, opens the segment afterwards. A child that gives up its right to open the segment (setuid) can read
on, but not write.
In a new interpreter thread (L<threads>), an object of the old one, and a cursor, is closed:
what is called dies with Closed, but for C<closed> and C<name>, which is empty there. Open
the segment again in it. Nothing that the thread does to its copy, nor its end, touches the
object that it was made of. A tied hash is such an object, too.

A signal handler in C<%SIG> runs between two steps of Perl, and may die. One that C<POSIX::sigaction> installs,
unless its action is C<safe(1)>, runs in the middle of a call: if it dies there, what the call had locked stays
locked until this process ends.

=head1 METHODS

All of them die with a L<ShmKV::Error|/ERRORS>; "never blocks" means that no lock is
taken, whatever other processes do.

=over

=item ShmKV->open($name, %options)

Open a segment. Options:

=over

=item mode

C<shared> (create or attach; the default), C<exclusive> (a new, empty segment takes
the name, safely at any time), C<existing> (attach only), C<readonly> (attach only,
on a read-only mapping).

=item permissions, owner_slots, max_size, default_ttl

Of a segment that is created: its mode bits (0600), the number of concurrent writers
(512), a size in bytes that it will not outgrow (none), and the seconds that entries
live which are stored without a C<ttl> (for ever).

=item max_entries, max_bytes, evict

Of a segment that is created, and is to be a cache: the most entries, and the most bytes of
memory that they take (any number). A new entry then puts out others, first such as have
not been read or changed for a while, but none that is bound to a process. With C<evict> also when there is
simply no more room. A value longer than a shard's part of C<max_bytes> is an error:
all of it up to 8 MiB, half up to 16, and so on, but never less than 4 MiB of a larger one.

=item reserve, lock_timeout_ms

Address space to set aside, in bytes; how long to wait for the lock of a live
process (5000).

=item stay, any_owner, huge_pages

True: die with Stale when the segment is replaced instead of moving along; accept a
segment that belongs to somebody else; map by huge pages what the system gives them
for, which is worth it from some 100,000 entries on (huge_bytes of C<info> tells what
came of it).

=item codec

Two subs, C<[\&encode, \&decode]>, for values that shmkv has no type for. The first makes
a string of bytes of a value, which is stored as C<coded>; the second makes the value again.
Other objects, and other languages, read the bytes, unless they name a codec, too. Without
it, nothing is ever decoded. When it dies in C<take>, C<pop> or C<swap>, the value is gone all
the same. Warning: Storable and the like make any object that the data
asks for, whose C<DESTROY> then runs. Whoever may write to the segment may then run code
in this process.

=back

Dies with BadName, BadArgument, NoSegment, Foreign, Format, Corrupt, WrongOwner,
NoSpace, SystemFailure and others. Only C<exclusive> may wait, for the locks of the
segment it replaces.

=item $kv->put($key, $value)

Store. Returns true. Waits for another process that writes nearby, up to the lock
timeout. When it dies, nothing has changed: BadKey, BadValue, ReadOnly, Closed,
NoSpace, TimedOut and others.

=item $kv->get($key)

The value, or undef when there is no such key. Never blocks.

=item $kv->get_bytes($key)

The bytes of the value, whatever its type. Never blocks.

=item $kv->get_many(@keys)

The values of those keys that are there, as a reference to a hash. Each is as of a
moment of its own. Takes much less time than one C<get> after the other when there is
more in the segment than the processor's caches hold. Never blocks.

=item $kv->put_many(\%pairs, %options), $kv->put_many(\@pairs, %options), $kv->put_many(@pairs)

Store many pairs, one after the other. C<\@pairs> and C<@pairs> are keys and values by turns. If
a key or a value is wrong, nothing is stored. If it dies later (NoSpace, TimedOut), those
before are stored, and C<done> of the error tells how many. Nothing else is promised of all of them together:
see C<transaction>. Takes less time than one C<put> after the other when there is more in
the segment than the processor's caches hold; a thousand pairs at a time are best. Options as
of C<set>, for all of them. Returns true.

=item $kv->delete_many(@keys)

Remove those keys that are there, one after the other, and return how many that were. If one
of them is wrong, none is removed.

=item $kv->get_item($key)

The value with what goes with it, as a reference to a hash: C<value>, C<type> (C<text>,
C<int64>, ...), C<version> (for C<cas>), C<expires_ns> (nanoseconds since 1970, or undef),
C<bound>. undef when there is none. Never blocks.

=item $kv->set($key, $value, %options)

As C<put>, with an end. C<ttl>: seconds from now after which the entry is absent; C<9**9**9>
is never, undef the segment's default. C<bound>: the entry goes when this object is closed
or this process ends, even by C<kill -9>: whoever looks next does not find it. To know that,
readers ask the kernel, about ten microseconds for each bound entry. The options are those of all the following.

=item $kv->add($key, $value, %options), $kv->replace($key, $value, %options)

Store if the key is absent, or if it is present; tell whether it was stored.

=item $kv->swap($key, $value, %options)

Store, and return the value before, or undef.

=item $kv->get_or_set($key, $value, %options)

The value; if there is none, C<$value>, which is stored.

=item $kv->take($key)

Remove the key and return its value, or undef.

=item $kv->cas($key, $version, $value, %options)

Store if the present value still has this version, from C<get_item>; 0: if there is none.
Tells whether it was stored.

=item $kv->cas_value($key, $expected, $value, %options)

Store if the present value is C<$expected>, of the same type; tells whether it was stored.

=item $kv->incr($key, $amount, $initial), $kv->decr($key, $amount, $initial)

Add C<$amount> (1) to the number, or subtract it; if there is none, to or from C<$initial> (0).
Returns the new number. None is lost, whoever else counts. Integers stay integers of 64 bits:
Overflow if the sum is none, and nothing has changed. If one of the two is a
floating-point number, so is the sum. BadType if the value is no such number. When the
entry ends stays as it was.

=item $kv->at_least($key, $number), $kv->at_most($key, $number)

Make the number at least, or at most, this; if there is none, this. Otherwise as C<incr>.

=item $kv->append($key, $string)

Append to bytes or text, and return the new length in bytes. If there is none, store
C<$string>. BadType for other values; BadValue for bytes behind text that would make it none.

=item $kv->delete_if($key, $version), $kv->delete_value($key, $expected)

Remove likewise; tell whether it was removed.

=item $kv->modify($key, $code, %options)

Store what C<< $code->($value) >> returns, and return it; C<$value> is undef when there is
none. No lock is held while the code runs. If another process comes between, it runs again,
so it should do nothing else. If it dies, nothing has changed. Without C<ttl> the entry ends when
it would have; a new one, when the segment's do. C<bound> as of C<set>: without it the entry stays
when its process ends.

=item $kv->touch($key, $ttl)

Let the entry end in C<$ttl> seconds, or, with undef, never; tells whether there is one.

=item $kv->pop

Remove some entry and return its key and value, or nothing when there is none.

=item $kv->clear

Remove all entries, one after the other: what others store meanwhile may stay. Returns how
many there were.

=item $kv->sweep($max_steps)

Reclaim the memory of entries that have expired, or whose process is gone, and return how
many. What has expired is absent without this, but takes room and is counted by C<get_size>
until it is swept, overwritten, or a put needs its room: so a store keeps its size without sweeps.
C<$max_steps> bounds the work of one call, which goes on where the last one ended; 0 is all.

=item $kv->exists($key)

Whether the key is there. Never blocks.

=item $kv->delete($key)

Remove the key; returns whether it was there. Waits as C<put> does.

=item $kv->get_size

The number of pairs. Never blocks.

=item $kv->get_all

A reference to a new, plain hash of all pairs as they were at one moment. Holds up
writers while it copies; on a read-only object it repeats the copy until nobody wrote
meanwhile, and dies with Busy when that does not happen.

=item $kv->keys(%options)

All keys; in scalar context, their number. C<prefix>: only those that begin with it; all are
looked at all the same, since keys lie in no order. Never blocks. Resets C<each>.

=item $kv->each

The next key and value, or nothing at the end, as Perl's own C<each>. A key that is
there from beginning to end is given once. Never blocks. Dies with Stale when the
segment is replaced meanwhile.

=item $kv->cursor(%options)

A walk of its own, independent of C<each>: an object with C<next> (a key and a value,
or nothing), C<close> and C<position>. It keeps the segment open until it is gone, unless the
object is closed, after which C<next> dies with Closed. Options:

=over

=item prefix

Only the keys that begin with it, as of C<keys>.

=item position

Where to go on: what C<< $cursor->position >> of another one returned, a string of 32 bytes. That
may have been in any process, also one that has ended since. The two together give each key that is
there from the beginning of the one to the end of the other exactly once, however the segment
has grown in between. Dies with BadArgument for a string that is none, and with Stale for
one of another segment, also of the same name.

=item keys_only

True: C<next> returns a key, and no value.

=back

=item $kv->close

Detach; the segment stays. May be repeated. Whatever else is called afterwards dies
with Closed. An object that goes out of scope closes by itself.

=item $kv->closed

Whether it is.

=item $kv->name

The name, as given to C<open>.

=item $kv->unlink, ShmKV->unlink($name)

Remove the name. Processes that are attached keep the segment. Dies with NoSegment,
BadName, Foreign (and leaves that alone), WrongOwner or SystemFailure. Does not
block.

=item $kv->info, $kv->stats

References to hashes of facts and counters. Never block.

=item $kv->verify

Check every invariant of the segment. A reference to an array of problems, each a
hash of C<offset> and C<text>; empty when all is well. Takes no lock, but time.

=item $kv->locks, $kv->owners

References to arrays of hashes: all locks; all owner slots in use. Never block.

=item $kv->wait($key, %options)

Wait until the value of the key is another one, or gone, or there. C<version>: than the one
with this version, from C<get_item>, 0 for none; without it, than the present one.
C<timeout>: in seconds; undef is for ever. Returns true if it is, false if time is up.
Sleeps until a writer wakes it. Signal handlers run meanwhile, within 100 ms, and may die.
Dies with ReadOnly on a read-only object, and with Frozen.

=item $kv->watch($position, %options)

Wait until anything changes. Returns two values: whether something has, and the position
from which to watch on without missing anything. C<$position> 0: from now. Otherwise as C<wait>.

=item $kv->lock($name, $code, %options)

Run C<< $code->($token) >> while nobody else holds the lock C<$name>, and return what it does.
Names of locks are apart from keys. C<$token> is a number that no other holder gets in this
segment; an earlier one may have had a larger one. The lock goes with the sub, with the object, and with the
process, however that ends: whoever waits then gets it. A stopped process keeps it.
C<timeout>: in seconds, after which it dies with TimedOut, whose detail names the holder; undef is
never. Dies with Deadlock if this thread holds it already, and at the end with Changed if it was
lost, because the segment was replaced, and in a child that was forked inside: the parent's lock stays. Leave the sub by C<return> or C<die>; C<last> dies.

=item $kv->transaction(\@keys, $code)

Change several keys together: all changes are made or none, also when the process is killed.
Runs C<< $code->($txn) >> and returns what it does, in scalar context:

    $kv->transaction(['a', 'b'], sub {
        my ($txn) = @_;
        $txn->put('a', $txn->get('a') - 10);
        $txn->put('b', $txn->get('b') + 10);
    });

C<$txn> has C<get>, C<exists>, C<put>, C<set> and C<delete>, as this object has, for the declared
keys (1 to 1024 different ones) as they were at one moment, with what the sub itself has put or
deleted. Other keys die with BadArgument, and so does everything once the sub has returned.

No lock is held while the sub runs. If one of the keys has changed meanwhile, also one that it
only read, it runs again, on fresh values, so it should do nothing else: what it does with C<$kv>
itself is no part of the transaction. If it dies, nothing has changed. Leave it by C<return> or
C<die>; C<last> dies. C<get_all> and other transactions see all of the changes or none; a C<get>
sees one key. Dies with Busy when the keys keep changing for as long as the lock timeout, with
Closed when the sub closes C<$kv>, and as C<put> does; then nothing has changed.

=item $kv->get_or_compute($key, $code, %options)

The value; if there is none, what C<< $code->() >> returns, which is stored. Of all who ask at
once one computes, under C<lock> of the key, and the others wait for its result, at most
C<timeout> seconds. If it dies, the next one computes. Further options as of C<set>.

=item $kv->freeze

Make the segment read-only for ever and for everybody; what would change it dies with
Frozen. Entries whose time comes still go. C<exclusive> still replaces the segment. Waits
for writers, up to the lock timeout, and dies with TimedOut.

=item $kv->sync

Wait until a segment that is a regular file is on disk, as it was at the call. For power
failures; processes that are killed lose nothing without it.

=item $kv->dump($file, %options)

Write all entries, with types and expiry, as a stream that C<load>, in any language and on
any machine, reads. Returns their number. C<$file> is a file's name, which is taken when
the dump is whole and on disk (mode 0600), or an open handle, whose layers do not see
what is written. C<snapshot>: all entries as of one moment; else each is as of its own.
Bound entries are left out. No lock is held while it writes.

=item $kv->load($file, %options)

Store the entries of a dump, and return their number. C<$file> is a file's name, or an open
handle, which stands behind the dump afterwards; a pipe must not have been read from, except
by C<sysread>. An entry of the dump replaces one of the same key; C<keep>: it does not;
C<replace>: what the dump does not have goes too, all at once, in a new segment, and
only if the dump is whole. Dies with BadDump if it is not; without C<replace>, what came
before the damage has been stored then.

A C<dump> or C<load> that waits for the other end of a pipe is not interrupted by signals
that have a handler.

=item ShmKV->version

The library's version.

=back

=head1 TIED HASHES

C<tie my %h, 'ShmKV', $name, %options> takes the options of C<open>. C<delete $h{x}>
gives the value that it removed. C<%h = ()> removes the keys one by one. C<local $h{x}> gives the key
another value, for everybody, and when it ends the one from before, without its time to live; C<local> and
C<++> are several steps, so others may come between (C<incr> is one step).

C<each>, C<keys> and C<values> walk as the method C<each> does: keys may be added and deleted meanwhile, also by
others, and each of several tied hashes walks by itself. A value is stored whole: C<$h{list}[0] = 1> and
C<push @{ $h{list} }, 1> change a copy and not the store. Assign it: C<$h{list} = [@{ $h{list} }, 1]>.

=head1 ERRORS

Errors are objects of a class per code, all of them a C<ShmKV::Error>:

    eval { $kv->put('', 'x'); 1 } or do {
        my $error = $@;
        if (ref $error && $error->isa('ShmKV::Error::BadKey')) { ... }
        print $error->name, ': ', $error->detail;
    };

C<code> is the number, C<name> its name (C<SHMKV_EKEY>), C<detail> the story, C<done>, of
C<put_many> and C<delete_many>, how many keys were changed before, C<file> and C<line> the
caller's. As a string it ends in C<at FILE line LINE.>

BadName, BadKey, BadValue, BadArgument, BadType, Overflow, ReadOnly, Frozen, Closed,
Deadlock: the call is wrong. TimedOut, Busy, NoSpace, NoSlots, ReserveTooSmall, Stale: try
again, or give it more. NoSegment, Foreign, Format, Corrupt, BadDump, WrongOwner,
NoSharedMemory: not there, not ours, or not whole. Changed: a named lock was lost.
SystemFailure: a system call failed, and C<code> is its errno. NotFound, Exists and
BufferTooSmall exist as well, but what they say is an answer here and not an error.
The detail of an operation names the segment and the key.

=head1 SEE ALSO

L<Shared::Simple>

=cut
