# One segment, several processes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use Config;
use Test::More;
use TestSegment;

use ShmKV;

subtest 'an object from before the fork works in both' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put('parent', 'before');
    ok in_child(sub {
        die 'cannot read' unless $kv->get('parent') eq 'before';
        $kv->put('child', 'was here');
        $kv->put('parent', 'seen');
    }), 'the child reads and writes';
    is $kv->get('child'), 'was here', 'the parent sees it';
    is $kv->get('parent'), 'seen', 'and what was replaced';
    $kv->put('parent', 'after');
    is $kv->get('parent'), 'after', 'and still writes';
    is_deeply $kv->verify, [], 'the segment is sound';
};

subtest 'closing in the child leaves the parent alone' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put('k', 'v');
    ok in_child(sub { $kv->close; $kv->closed }), 'explicitly';
    $kv->put('k', 'w');
    is $kv->get('k'), 'w', 'the parent writes on';
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        # Through the child's global destruction, which frees its copy of $kv.
        Test::More->builder->no_ending(1);
        exit 0;
    }
    waitpid $pid, 0;
    is $?, 0, 'by its end';
    $kv->put('k', 'x');
    is $kv->get('k'), 'x', 'the parent writes on';
};

subtest 'a child opens by name' => sub {
    my $kv = ShmKV->open(segment());
    ok in_child(sub { ShmKV->open($kv->name)->put('from', "child") }), 'and writes';
    is $kv->get('from'), 'child', 'which is seen';
};

subtest 'children write at once' => sub {
    my $kv = ShmKV->open(segment());
    my @pids;
    for my $worker (1 .. 4) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        if (!$pid) {
            my $good = eval { $kv->put("$worker/$_", "value $_") for 1 .. 1000; 1 };
            print {*STDERR} "# $@" if !$good;
            POSIX::_exit($good ? 0 : 1);
        }
        push @pids, $pid;
    }
    my $failed = 0;
    for my $pid (@pids) {
        waitpid $pid, 0;
        $failed++ if $?;
    }
    is $failed, 0, 'all succeed';
    is $kv->get_size, 4000, 'nothing is lost';
    is_deeply $kv->get_all, { map { my $w = $_; map { ("$w/$_" => "value $_") } 1 .. 1000 } 1 .. 4 }, 'nothing is torn';
    is_deeply $kv->verify, [], 'the segment is sound';
};

subtest 'a child is killed while it writes' => sub {
    my $kv = ShmKV->open(segment());
    $kv->put('steady', 'old');
    for my $round (1 .. 5) {
        my $pid = fork;
        die "fork: $!" if !defined $pid;
        if (!$pid) {
            my $i = 0;
            while (1) { $kv->put('k' . $i % 50, $i x 20); $i++ }
        }
        select undef, undef, undef, 0.02;
        kill 'KILL', $pid;
        waitpid $pid, 0;
        my $all = $kv->get_all;
        is scalar(grep { $all->{$_} !~ /\A(\d+?)\1{19}\z/ } grep { /\Ak/ } keys %$all), 0, "round $round: every value is whole";
        $kv->put('steady', $round);
        is $kv->get('steady'), $round, 'and the parent writes on';
    }
    is_deeply $kv->verify, [], 'the segment is sound';
};

subtest 'interpreter threads' => sub {
    plan skip_all => 'this Perl has none' if !$Config::Config{useithreads};
    my $kv = ShmKV->open(segment());
    $kv->put('k', 'v');
    my $cursor = $kv->cursor;
    require threads;
    my $thread = threads->create(sub {
        my $closed = eval { $kv->get('k'); 1 } ? 0 : $@->isa('ShmKV::Error::Closed');
        my $ended = eval { my @pair = $cursor->next; 1 } ? 0 : $@->isa('ShmKV::Error::Closed');
        ShmKV->open($kv->name || $_[0])->put('thread', 'wrote');
        return $closed && $ended && $kv->closed;
    }, $kv->name);
    ok $thread->join, 'objects of the creator are closed in the new one';
    tie my %h, 'ShmKV', $kv->name, codec => [sub { 'made' }, sub { [@_] }];
    $h{object} = sub { };
    $thread = threads->create(sub {
        my $closed = eval { my $value = $h{k}; 1 } ? 0 : $@->isa('ShmKV::Error::Closed');
        $kv->close;
        return $closed && $kv->name eq '';
    });
    ok $thread->join, 'also a tied hash, and closing them again does nothing';
    is $h{k}, 'v', 'which goes on here';
    is_deeply $h{object}, ['made'], 'with its codec';
    is $kv->get('k'), 'v', 'as the object does';
    is $kv->get('thread'), 'wrote', 'which opens its own';
    my @pair = $cursor->next;
    ok @pair, 'and harms nothing';
};

done_testing;
