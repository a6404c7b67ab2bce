#!/usr/bin/perl

# The publisher under load, killed and handed over: nothing is lost, and how long draining stands still is printed, as
# Kafka's own clock shows it: the longest time between two appends to the topic around each strike.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(kafka_conf => 'log.message.timestamp.type=LogAppendTime');

my @struck;
$t->row(11, 'killed', 4, sub {
    my ($load) = @_;
    my $worker = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    push @struck, time;
    $load->fault('the publisher -9', sub { $t->kill9($worker) });
    poll(10, 'another worker publishes', sub { ($t->publisher_worker // $worker) != $worker });
    poll(10, 'its place is taken', sub { 2 == $t->workers });
    $load->wait_more(2500);
}, more => \&still);

$t->row(11, 'handed', 2, sub {
    my ($load) = @_;
    my $epoch = $t->epoch;
    push @struck, time;
    $load->fault('a reload', sub { $t->reload });
    poll(10, 'the epoch has grown', sub { (eval { $t->epoch } // 0) > $epoch });
    $load->wait_more(2500);
}, more => \&still);

$t->close_books;
$t->finish;

# The longest pause in a topic's appends within a second and a half of each strike: median and 99th percentile, ms.
sub still {
    my ($load) = @_;
    my @appends = sort { $a <=> $b } map { $_->{timestamp} } $t->{kafka}->read($load->{topic});
    my @pauses;
    for my $at (map { 1000 * $_ } splice @struck) {
        my @near = grep { $_ > $at - 200 && $_ < $at + 1500 } @appends;
        my ($longest) = sort { $b <=> $a } map { $near[$_] - $near[ $_ - 1 ] } 1 .. $#near;
        push @pauses, $longest // 1500;
    }
    @pauses = sort { $a <=> $b } @pauses;
    return (still_p50_ms => $pauses[ @pauses / 2 ], still_p99_ms => $pauses[ $#pauses * 0.99 + 0.5 ]);
}
