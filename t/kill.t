#!/usr/bin/perl

# SIGKILL under load, one after another: a worker, the publisher's worker, the subscriber, both at once, the master with
# all its workers, the master with its workers left alive and a new nginx started beside them. Each event answered with
# success is in Kafka; what is there twice carries the same sg; the books close.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;

$t->row(10, 'worker', 3, sub {
    my ($load) = @_;
    my $publisher = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    my ($worker) = grep { $_ != $publisher } $t->workers;
    $load->fault('a worker -9', sub { $t->kill9($worker) });
    poll(10, 'its place is taken', sub { 2 == $t->workers });
    $load->wait_more(500);
});

$t->row(10, 'publisher', 3, sub {
    my ($load) = @_;
    my $worker = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    my $epoch = $t->epoch;
    $load->fault('the publisher -9', sub { $t->kill9($worker) });
    poll(10, 'another worker publishes', sub { ($t->publisher_worker // $worker) != $worker });
    poll(10, 'the epoch has grown', sub { $t->epoch > $epoch });
    $load->wait_more(500);
});

# Killed while it works, and now and then while it begins.
$t->row(13, 'subscriber', 3, sub {
    my ($load, $n) = @_;
    $load->fault('the subscriber -9', sub { $t->{subscriber}->kill9 });
    $load->wait_more(int rand 1000);
    $t->subscribe;
    return $load->wait_more(int rand 500) if $n % 3 == 0;
    $t->attached;
    $load->wait_more(int rand 1000);
});
$t->attached;

$t->row(10, 'both', 1, sub {
    my ($load) = @_;
    my $worker = poll(10, 'somebody publishes', sub { $t->publisher_worker });
    $load->fault('the publisher and the subscriber -9', sub {
        $t->{subscriber}->signal('KILL');
        $t->kill9($worker);
    });
    $t->{subscriber}->ended;
    $t->subscribe;
    $t->attached;
});

$t->row(10, 'nginx', 1, sub {
    my ($load) = @_;
    $load->fault('nginx -9, started again', sub {
        $t->kill9($t->master, $t->workers);
        $t->start;
        $t->ready;
    });
});

# The old workers go on answering, and a new nginx with the same ring works beside them, on a port of its own: so the
# connections of half the load, which was refused until now, move there.
my @ports = ($t->port, $t->port('beside'));
$t->row(10, 'master', 1, sub {
    my ($load) = @_;
    my @old = $t->workers;
    $load->fault('the master -9', sub { $t->kill9($t->master) });
    is_deeply([ $t->orphans ], \@old, 'its workers live on');
    $load->wait_more(1000);
    ($t->{ports}{''}) = grep { $_ != $t->port } @ports;
    $t->spine_conf;
    $load->fault('a new nginx beside the old workers', sub { $t->start });
    $t->ready;
    $load->wait_more(2000);
    kill QUIT => @old;
    poll(20, 'the old workers leave', sub { !$t->orphans });
    $load->wait_more(1000);
}, load => { ports => \@ports });

$t->close_books;
cmp_ok(scalar(grep { /-\d+$/ } keys %{ $t->{sent} }), '>', 100, 'some of these came several in a body');
$t->finish;
