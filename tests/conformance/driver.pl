# The conformance driver in Perl. README.md has the commands.

use strict;
use warnings;

use ShmKV;

my $kv;

sub unhex { return $_[0] eq '-' ? '' : pack 'H*', $_[0] }
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

sub print_entry { print 'entry ', tohex($_[0]), ' ', tohex($_[1]), "\n" }

sub do_open {
    my ($name, $mode) = @_;
    undef $kv;
    $kv = ShmKV->open(unhex($name), mode => $mode);
    print "ok\n";
}

sub do_unlink { ShmKV->unlink(unhex($_[0])); print "ok\n" }

my %command = (
    put    => sub { $kv->put(unhex($_[0]), unhex($_[1])); print "ok\n" },
    get    => sub {
        my $value = $kv->get(unhex($_[0]));
        print defined $value ? 'value ' . tohex($value) : 'absent', "\n";
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
