# The Perl part of the demonstration: stores every package's version.
#
# It makes the segment anew (EXCLUSIVE), stores half of the packages, lets the others in, and stores the rest
# while they work. Then it stores all of them over and over, with the same versions, until each of the others
# has worked through the store often enough: whatever they read meanwhile was being overwritten.
use strict;
use warnings;
use ShmKV;

my ($segment, $status, $others) = @ARGV;
my $partners = 3;
$| = 1;

sub say_so { printf "[perl]   %s\n", join '', @_ }

# [key, version] of each package, in the order of the file.
sub packages {
    my ($file) = @_;
    my @packages;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/ = '';    # a paragraph at a time
    while (my $stanza = <$in>) {
        my ($name)    = $stanza =~ /^Package: (.*)/m      or next;
        my ($arch)    = $stanza =~ /^Architecture: (.*)/m or next;
        my ($version) = $stanza =~ /^Version: (.*)/m      or next;
        push @packages, ["$name:$arch", $version];
    }
    return @packages;
}

# What the others say: "attached", and later "enough". Read without a buffer, as select() sees none.
{
    my $said = '';

    sub listen_once {
        my ($pipe) = @_;
        sysread $pipe, $said, 4096, length $said or die "[perl]   the others are gone\n";
    }

    sub said {
        my ($word) = @_;
        return scalar(() = $said =~ /^$word\n/mg);
    }
}

# Is there something to read? Does not wait.
sub is_readable {
    my ($pipe) = @_;
    my $bits = '';
    vec($bits, fileno $pipe, 1) = 1;
    return select($bits, undef, undef, 0) > 0;
}

my @packages = packages($status);
my $kv = ShmKV->open($segment, mode => 'exclusive');
say_so "process $$: opened '$segment' EXCLUSIVE, so it is new and has ", $kv->get_size, ' entries';

my $half = int(@packages / 2);
$kv->put(@$_) for @packages[0 .. $half - 1];
say_so "stored the first $half packages; the others may come in";
open my $ready, '>&=', 3 or die "descriptor 3: $!\n";
print $ready "ready\n";
close $ready;

open my $pipe, '<', $others or die "$others: $!\n";
listen_once($pipe) while said('attached') < $partners;
$kv->put(@$_) for @packages[$half .. $#packages];
say_so 'stored the other ', @packages - $half, ' while they were reading';

my $rounds = 0;
while (said('enough') < $partners) {
    $kv->put(@$_) for @packages;
    $rounds++;
    listen_once($pipe) while is_readable($pipe);
}
$kv->put('demo/complete', scalar @packages);
say_so "stored all of them $rounds more times, until everybody had seen enough";

for my $package (@packages) {
    my ($key, $version) = @$package;
    my $found = $kv->get($key);
    die "[perl]   '$key' should be '$version'\n" if !defined $found || $found ne $version;
}
my $all = $kv->get_all;
my @strange = grep { !m{^demo/} } keys %$all;
die '[perl]   ', scalar @strange, ' packages in the store, ', scalar @packages, " in the file\n"
    if @strange != @packages;
say_so 'checked: every package of the file is there, with its version, and no other';
$kv->close;
