#!/usr/bin/perl

# A machine dies with events in its ring: nginx and the subscriber are killed (-9), the ring's directory is copied to
# another place, and `sparkngin ring drain` brings home what is in it. Each event answered with success is in Kafka, a
# second drain brings nothing new, and while nginx runs the ring is refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy 'copy';
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new;
my $kafka = $t->{kafka};
my $load = $t->load(rate => 2500);
$load->wait_more(1000);
$load->fault('the subscriber -9', sub { $t->{subscriber}->kill9 });
$load->wait_more(3000);
my @orders = ('--kafka', $kafka->address, '--create-topics');

my ($code, $text) = drain("$t->{dir}/ring");
is($code, 1, 'a ring in use is refused');
like($text, qr/it is in use/, 'and the reason is said');

$t->kill9($t->master, $t->workers);
$load->stop;
my $there = "$t->{dir}/elsewhere";
mkdir $there or die "$there: $!\n";
for my $file (glob "$t->{dir}/ring/ring.*") { copy($file, $there) or die "$file: $!\n" if $file =~ /ring\.\d+$/ }

($code, $text) = drain($there);
is($code, 0, 'the copy is drained') or diag($text);
my ($delivered) = $text =~ /: (\d+) events in Kafka, 0 dead, 0 lost, 0 uncertain, nothing is left$/m or diag($text);
ok(($delivered // 0) >= 3000, 'it had what the killed subscriber had not acknowledged: ' . ($delivered // 'nothing'));
my $found = $t->audit($load, name => 'drained', drain => 0);

my $before = $kafka->count($load->{topic});
($code, $text) = drain($there);
is($code, 0, 'a second drain');
like($text, qr/: 0 events in Kafka, 0 dead, /, 'finds nothing');
is($kafka->count($load->{topic}), $before, 'and brings nothing');

my ($balanced, $books) = $t->run($Sparkngin::PROGRAM, 'audit', '--kafka', $kafka->address, '--topic', $load->{topic}, '--ring', $there);
is($balanced, 0, 'the audit finds everything explained') or diag($books);
note($books);
my ($whole, $verified) = $t->run($Sparkngin::PROGRAM, 'ring', 'verify', $there);
is($whole, 0, 'the drained file is whole') or diag($verified);

$t->finish;

sub drain {
    my ($dir) = @_;
    return $t->run($Sparkngin::PROGRAM, 'ring', 'drain', $dir, @orders);
}
