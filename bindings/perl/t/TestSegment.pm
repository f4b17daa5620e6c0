package TestSegment;

# Segment names that no other test uses, and their removal at the end of the process
# that made them; forked children leave them alone.

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use ShmKV;

our @EXPORT = qw(segment in_child died_with);

my @made;

# Not by pid: tests in sandboxes of their own share pids, and /dev/shm.
sub segment {
    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    read($random, my $bytes, 8) == 8 or die '/dev/urandom is short';
    my $name = 'shmkv-test-pl-' . unpack 'H*', $bytes;
    push @made, [$$, $name];
    return $name;
}

# Run code in a forked child; true when it returned true.
sub in_child {
    my ($code) = @_;

    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        my $good = eval { $code->() };
        print {*STDERR} "# in the child: $@" if $@;
        POSIX::_exit($good ? 0 : 1);
    }
    waitpid $pid, 0;
    return $? == 0;
}

# The error object that code dies with.
sub died_with {
    my ($code) = @_;

    return eval { $code->(); 1 } ? undef : $@;
}

END {
    my $status = $?;
    for my $segment (@made) {
        my ($pid, $name) = @$segment;
        eval { ShmKV->unlink($name) } if $pid == $$;
    }
    $? = $status;
}

1;
