#!/usr/bin/perl

# Kafka away under load for SECONDS, 4 unless told: killed, frozen, and killed with nginx and the subscriber killed (-9)
# a moment later; and frozen and thawed in turns (STOP and CONT seconds). Nothing is lost, each stream is in its order in
# its partition, the subscriber's memory stays where it is, and all is in Kafka again without a hand: it prints in how
# many seconds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Spine;

my $seconds = $ENV{SECONDS} // 4;
my ($stop, $cont) = ($ENV{STOP} // 2, $ENV{CONT} // 1);
my $rate = 1500;
my $longest = $seconds > $stop ? $seconds : $stop;
my $t = Sparkngin::Spine->new(buf_size => 64 + int($longest * $rate * 600 / 1e6) . 'm');
my $kafka = $t->{kafka};

outage(15, 'down', sub { $kafka->kill9 }, sub { $kafka->start });
outage(15, 'frozen', sub { $kafka->freeze }, sub { $kafka->thaw });
outage(15, 'killed', sub { $kafka->kill9 }, sub { $kafka->start }, sub {
    my ($load) = @_;
    pause_until(time + ($seconds < 30 ? $seconds / 3 : 10));
    $load->fault('nginx and the subscriber -9', sub {
        $t->{subscriber}->signal('KILL');
        $t->kill9($t->master, $t->workers);
        $t->start->ready;
    });
    $t->{subscriber}->ended;
    $t->subscribe;
});

$t->row(16, 'thawed', 1, sub {
    my ($load) = @_;
    $load->fault('Kafka frozen', sub { $kafka->freeze });
    pause_until(time + $stop);
    $kafka->thaw;
    pause_until(time + $cont);
}, load => { rate => $rate });

$t->close_books;
$t->finish;

# What the subscriber uses of memory is looked at each second: in the end it may be no more than in the first third, but
# for what its queues had not reached by then.
sub outage {
    my ($row, $name, $begin, $end, $meanwhile) = @_;
    my ($back, @rss);
    $t->row($row, $name, 1, sub {
        my ($load) = @_;
        push @rss, rss();
        my $over = time + $seconds;
        $load->fault("Kafka $name", $begin);
        $meanwhile->($load) if $meanwhile;
        while (time < $over) {
            pause_until(time + 1);
            push @rss, rss();
        }
        my $missing = $t->books->{in_ring};
        cmp_ok($missing, '>', $rate * $seconds / 3, "$name: the ring holds what came meanwhile");
        $end->();
        $kafka->wait;
        $back = time;
        # Under load all the time: what the outage left behind is through when the ring holds a second's worth.
        poll(60 + $seconds, 'the ring holds no more than a second\'s worth', sub { (eval { $t->books->{in_ring} } // 1e9) < $rate });
        $back = time - $back;
        push @rss, rss();
        $t->attached;
    }, load => { rate => $rate }, more => sub {
        my ($most) = sort { $b <=> $a } @rss;
        cmp_ok($most, '<', 150, "$name: the subscriber's memory keeps to its window");
        return (seconds => $seconds, drained_s => sprintf('%.1f', $back), rss_before_mb => $rss[0], rss_most_mb => $most, rss_after_mb => $rss[-1]);
    });
}

# The subscriber's resident memory in MB.
sub rss {
    my ($kb) = $t->read_file('/proc/' . $t->{subscriber}->pid . '/status') =~ /^VmRSS:\s+(\d+)/m;
    return int(($kb // 0) / 1024);
}
