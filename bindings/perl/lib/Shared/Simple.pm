package Shared::Simple;

use strict;
use warnings;

use ShmKV ();

our $VERSION = '0.1.0';

use constant {
    SHARED    => 0,
    EXCLUSIVE => 1,
};

# No Perl between a call and the core.
BEGIN {
    *put      = \&ShmKV::_put_short;
    *get      = \&ShmKV::get;
    *get_size = \&ShmKV::get_size;
    *get_all  = \&ShmKV::get_all;
}

sub new {
    my ($class, $name, $mode) = @_;

    $mode = SHARED if !defined $mode;
    ShmKV::Error::_refuse_argument('the mode is Shared::Simple::SHARED or Shared::Simple::EXCLUSIVE')
        if $mode !~ /\A[01]\z/;
    ShmKV::Error::_refuse_argument('a name of Shared::Simple has no slash')
        if defined $name && $name =~ m{/};
    return ShmKV::open($class, $name, mode => $mode == EXCLUSIVE ? 'exclusive' : 'shared');
}

1;

__END__

=encoding UTF-8

=head1 NAME

Shared::Simple - a small hash in shared memory

=head1 SYNOPSIS

    use Shared::Simple;

    my $shared = Shared::Simple->new('jobs', Shared::Simple::EXCLUSIVE);
    if (!fork) {
        my $mine = Shared::Simple->new('jobs');      # or use $shared itself
        $mine->put('child', 'done');
        exit;
    }
    wait;
    print $shared->get('child'), "\n";

=head1 DESCRIPTION

The interface of the module of this name, on a segment of L<ShmKV>, which C<ShmKV> and
the other languages can open too. Where the two differ, it is for the better: values
are checked for the length that the manual promises, but C<EXCLUSIVE> is safe at any
time, nobody waits for another one's initialisation, and a dead writer leaves every
key with its old or its new value.

All operations may be used in several processes at once. An object opened before a
fork works in both. The segment outlives the object; remove it with
C<< ShmKV->unlink($name) >>.

=head1 METHODS

=over

=item Shared::Simple->new($name), Shared::Simple->new($name, $mode)

C<$mode> is C<Shared::Simple::SHARED>, the default: create or attach; or
C<Shared::Simple::EXCLUSIVE>: begin with an empty segment, whatever was there. The
name is not empty, has no slash and at most 254 bytes. Croaks on failure.

=item $shared->put($key, $value)

Store; an earlier value is replaced. Both are defined and not empty, the value has at
most 32 bytes. Returns 1. Croaks otherwise, and then nothing has changed. Waits while
another process writes nearby.

=item $shared->get($key)

The value, or undef when there is none. Croaks on an undefined or empty key. Never
blocks.

=item $shared->get_size

The number of pairs. Never blocks.

=item $shared->get_all

A reference to a plain hash: a snapshot, taken under the lock, that has nothing to do
with shared memory any more.

=back

Croaking is with a L<ShmKV/ERRORS|ShmKV::Error> that names the caller's line.

=cut
