#!/usr/bin/perl

# Kafka killed (-9) and started again under load, stopped and thawed, and killed together with a worker: events go on
# being taken, and all of them are in Kafka afterwards.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};

under_load('Kafka', sub {
    my ($load) = @_;
    for (1 .. 2) {
        $load->fault('Kafka -9', sub { $kafka->kill9 });
        $load->wait_more(2000);
        $kafka->start->wait;
        $load->wait_more(2000);
    }
});

under_load('Kafka, frozen', sub {
    my ($load) = @_;
    $load->fault('Kafka stopped', sub { $kafka->freeze });
    $load->wait_more(5000);
    $kafka->thaw;
    $load->wait_more(1000);
});

under_load('Kafka and the publisher\'s worker at once', sub {
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

under_load('Kafka and the subscriber at once', sub {
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

$t->close_books;
$t->finish;

sub under_load {
    my ($name, $strike) = @_;
    my $load = $t->load(rate => 2000);
    $load->wait_more(1000);
    $strike->($load);
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => $name);
}
