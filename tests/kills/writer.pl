# A writer that kill_writers.c kills. The log's layout is there.

use strict;
use warnings;

use Fcntl;
use ShmKV;

my $KEYS = 600;
my ($name, $log_path, $writer, $seed) = @ARGV;
my $kv = ShmKV->open($name);
sysopen my $log, $log_path, O_RDWR or die "$log_path: $!";
my $base = $writer * (32 + 32 * $KEYS);
srand $seed;

sub log_read {
    my ($at, $words) = @_;
    sysseek $log, $at, 0 or die "seek: $!";
    my $n = sysread $log, my $bytes, 8 * $words;
    die "read: $!" if !defined $n || $n != 8 * $words;
    return unpack 'Q<*', $bytes;
}

sub log_write {
    my ($at, @words) = @_;
    sysseek $log, $at, 0 or die "seek: $!";
    my $n = syswrite $log, pack 'Q<*', @words;
    die "write: $!" if !defined $n || $n != 8 * @words;
    return;
}

sub length_of {
    my ($value) = @_;
    return $value % 1000 == 1 ? 40000 : $value % 50 == 1 ? 125 + $value % 4875 : 2 + $value % 37;
}

sub make { return pack('Q<', $_[0]) x length_of($_[0]) }

sub state_of {
    my $value = $kv->get($_[0]);
    return 0 if !defined $value;
    my $found = unpack 'Q<', $value;
    die "a value is torn\n" if $value ne make($found);
    return $found;
}

my ($calls, $deletes, $large) = log_read($base, 3);
while (1) {
    my $number = int rand $KEYS;
    my ($key, $at) = (pack('V2', $writer, $number), $base + 32 + 32 * $number);
    my ($before, $after, $acknowledged) = log_read($at, 3);
    if (!$acknowledged) {
        my $now = state_of($key);
        die "a key is neither old nor new\n" if $now != $before && $now != $after;
        $after = $now;
        log_write($at, $now, $now);
    }
    my $value = int(rand 4) ? (int(rand 2**32) << 32 | int(rand 2**32) | 1) : 0;
    log_write($at, $after, $value, 0);
    if   ($value) { $kv->put($key, make($value)) }
    else          { $kv->delete($key) }
    log_write($at + 16, 1);
    $calls++;
    $deletes++ if !$value;
    $large++ if $value && length_of($value) >= 125;
    log_write($base, $calls, $deletes, $large);
}
