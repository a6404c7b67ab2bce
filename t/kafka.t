#!/usr/bin/perl

# A real Kafka under load: killed (-9), stopped and started again, frozen and thawed, killed together with a worker and
# with the subscriber; and a topic deleted while events for it go on. Events go on being taken, and all of them are in
# Kafka afterwards.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;
use Sparkngin::Row 'chosen';

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};

$t->row(14, 'kafka', 1, sub {
    my ($load) = @_;
    $load->fault('Kafka -9', sub { $kafka->kill9 });
    $load->wait_more(2000);
    $kafka->start->wait;
    $load->wait_more(2000);
});

$t->row(14, 'restart', 1, sub {
    my ($load) = @_;
    $load->fault('Kafka stopped', sub { $kafka->stop });
    $kafka->start->wait;
    $load->wait_more(2000);
});

$t->row(14, 'frozen', 1, sub {
    my ($load) = @_;
    $load->fault('Kafka frozen', sub { $kafka->freeze });
    $load->wait_more(3000);
    $kafka->thaw;
    $load->wait_more(1000);
});

$t->row(14, 'worker', 1, sub {
    my ($load) = @_;
    my $worker = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    $load->fault('Kafka and a worker -9', sub {
        $kafka->{daemon}->signal('KILL');
        $t->kill9($worker);
    });
    $kafka->{daemon}->ended;
    $load->wait_more(2000);
    $kafka->start->wait;
});

$t->row(14, 'subscriber', 1, sub {
    my ($load) = @_;
    $load->fault('Kafka and the subscriber -9', sub {
        $kafka->{daemon}->signal('KILL');
        $t->{subscriber}->kill9;
    });
    $kafka->{daemon}->ended;
    $t->subscribe;    # it starts before Kafka is there, and waits
    $load->wait_more(1000);
    $kafka->start->wait;
    $t->attached;
});

# What an operator deletes is gone; what comes for the topic afterwards is in the one that the subscriber makes anew, and
# other topics go on.
my @before;
$t->row(14, 'topic', 1, sub {
    my ($load, $n) = @_;
    my $before = $t->load(topic => "gone.$n", rate => 1500, count => 500)->complete;
    $t->audit($before, name => "before topic $n is deleted", drain => 0) if settled($before);
    $t->{deleted}{ $_->{headers}{sg} } = 1 for $kafka->read("gone.$n");
    $load->fault('a topic is deleted', sub { $kafka->delete_topic("gone.$n") });
    my $after = $t->load(topic => "gone.$n", rate => 1500, count => 500)->complete;
    settled($after);
    $t->audit($after, name => "after topic $n is deleted", drain => 0);
});

$t->close_books;
$t->finish;

# Whether every event of a load that has come to its end is in its topic.
sub settled {
    my ($load) = @_;
    my $wanted = $load->taken;
    return poll(60, "$wanted events in $load->{topic}", sub { $kafka->count($load->{topic}) >= $wanted });
}
