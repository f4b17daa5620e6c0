# Runs TAP test files as prove does, and shows each case. Arguments that are not *.t are helpers.
use strict;
use warnings;
use App::Prove;

my @tests = grep { /\.t\z/ } @ARGV;
die "no tests in @ARGV\n" unless @tests;
my $prove = App::Prove->new;
$prove->process_args('--norc', '--verbose', @tests);
exit($prove->run ? 0 : 1);
