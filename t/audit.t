#!/usr/bin/perl

# `sparkngin audit` against a real Kafka: the books of a load with kills in it balance; and a copy of the topic with one
# event dropped, one duplicated, two swapped, or one dropped and another duplicated, is told from it each time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my $copier = "$Sparkngin::BUILD/copier";
die "$copier is missing: run `make copier` first\n" if !-x $copier;
my $seed = $ENV{SEED} // time;
diag("seed $seed");

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};
my $ring = "$t->{dir}/ring";
my $load = $t->load(rate => 2500);
$load->wait_more(1000);
$load->fault('the subscriber -9', sub { $t->{subscriber}->kill9 });
$t->subscribe;
$t->attached;
$load->wait_more(1000);
$load->fault('a worker -9', sub { $t->kill9(($t->workers)[0]) });
$load->wait_more(1000);
$load->stop;
$t->drained;
my $books = $t->books;
my $committed = $books->{committed};

my ($whole, $code) = report($load->{topic}, '--ring', $ring);
is($code, 0, 'kills under load: nothing is unexplained');
is(sum($whole, 'in_kafka'), $committed, "all $committed events are found");
is(sum($whole, 'missing') + sum($whole, 'out_of_order') + sum($whole, 'ring_short'), 0, 'none is missing or out of order');
my $hours = 0;
for my $stream (@{ $whole->{streams} }) { $hours += $_->{in_kafka} for @{ $stream->{hours} } }
is($hours, $committed, 'the hours add up');
my $resent = sum($whole, 'duplicates');
my @records = $kafka->read($load->{topic});
is($resent, @records - $committed, 'each record beyond the first of an event is a duplicate');

# Each fault in a copy of its own, and none in the first.
my %found = (
    none => [ 0, 0, 0 ], drop => [ 1, 1, 0 ], duplicate => [ 0, 0, 1 ], swap => [ 1, 0, 0 ], both => [ 1, 1, 1 ],
);
for my $fault (qw(none drop duplicate swap both)) {
    my $topic = "copy.$fault";
    $kafka->kcat('-L', '-X', 'allow.auto.create.topics=true', '-t', $topic);
    poll(20, "$topic is there", sub { my %topics = $kafka->topics; $topics{$topic} });
    my ($failed, $done) = $t->run($copier, $kafka->address, $load->{topic}, $topic, $fault, $seed);
    is($failed, 0, "$fault: a copy") or diag($done);
    note($done);
    my ($exit, $missing, $more) = @{ $found{$fault} };
    my ($report, $code) = report($topic, '--ring', $ring);
    is($code, $exit, "$fault: exit $exit");
    is(sum($report, 'missing'), $missing, "$fault: $missing missing");
    is(sum($report, 'duplicates'), $resent + $more, "$fault: $more duplicates more");
    my $late = sum($report, 'out_of_order');
    ok($fault eq 'swap' ? $late > 0 : $late == 0, "$fault: $late out of order");
    is(defined $report->{unexplained} ? 1 : 0, $exit, "$fault: " . ($report->{unexplained} // 'nothing is unexplained'));
    my ($once) = $t->run($Sparkngin::PROGRAM, 'audit', '--kafka', $kafka->address, '--topic', $topic, '--ring', $ring, '--exactly-once');
    is($once, $resent + $more || $exit ? 1 : 0, "$fault: with --exactly-once each duplicate is unexplained, too");
}

my ($text_code, $text) = $t->run($Sparkngin::PROGRAM, 'audit', '--kafka', $kafka->address, '--topic', $load->{topic}, '--ring', $ring);
is($text_code, 0, 'for people');
is(scalar(() = $text =~ /^[0-9a-f]{32}-\d+: \d+ to \d+: \d+ in Kafka/mg), scalar @{ $whole->{streams} }, 'a line a stream');
like($text, qr/nothing is unexplained$/m, 'and that all is well');
note($text);

$t->finish;

sub report {
    my ($topic, @more) = @_;
    my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'audit', '--json', '--kafka', $kafka->address, '--topic', $topic, @more);
    my ($json) = $text =~ /^(\{.*\})$/m or die "no report ($code): $text\n";
    return (JSON::PP->new->decode($json), $code);
}

sub sum {
    my ($report, $what) = @_;
    my $sum = 0;
    $sum += $_->{$what} for @{ $report->{streams} };
    return $sum;
}
