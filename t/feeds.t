#!/usr/bin/perl

# One subscriber for two nginx, each with a ring of its own: half the load goes to each, a worker of each is killed, one
# nginx is stopped and started again. Everything that either answered with success is in Kafka, and both books close.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(start => 0);
my $other = Sparkngin::Spine->new(start => 0, kafka => 0);
$_->start->ready for $t, $other;
$t->subscribe('--create-topics', '--feed', $other->feed);
$t->attached;

my $load = $t->load(rate => 2500, ports => [ $t->port, $other->port ]);
$load->wait_more(1000);
for my $one ($t, $other) {
    my $worker = ($one->workers)[0];
    $load->fault('a worker -9', sub { $one->kill9($worker) });
    poll(10, 'its place is taken', sub { 2 == $one->workers });
    $load->wait_more(500);
}
$load->fault('one nginx stopped', sub { $other->stop });
$load->wait_more(500);
$other->start->ready;
$load->wait_more(1000);
$load->stop;

$other->drained;
$t->audit($load);
my ($committed, $in_kafka) = (0, 0);
for my $books (map { $_->books } $t, $other) {
    cmp_ok($books->{committed}, '>', 0, 'each ring took events');
    is($books->{committed}, $books->{in_kafka}, 'and all of them are in Kafka');
    $committed += $books->{committed};
}
my $taken = grep { $_->{status} == 204 } $load->events;
my $unanswered = grep { $_->{status} == 0 } $load->events;
ok($committed >= $taken && $committed <= $taken + $unanswered, 'together they committed what was answered with success')
    or diag("$committed committed, $taken answered with success, $unanswered without an answer");
my %regions = map { $_->status->{ring}{region} => 1 } $t, $other;
my %seen = map { (split /-/, $_->{headers}{sg})[0] => 1 } $t->{kafka}->read($load->{topic});
is_deeply(\%seen, \%regions, 'the ids in Kafka are of both rings');
$other->stop;
is(join("\n", $other->complaints), q(), "the other one has nothing to complain of");
$t->finish;
