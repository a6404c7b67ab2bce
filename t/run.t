#!/usr/bin/perl

# What `make run` starts: nginx and the subscriber as the caller, here with a Kafka of ours. An event sent is in Kafka;
# what came while Kafka was away stays in the ring when all is stopped, and arrives the next time; a port that is taken
# is named, with what to type instead.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(start => 0);
my $runs = 0;

my $run = start();
is($t->get('/sn/log?topic=clicks&data=first')->{status}, 204, 'an event is taken');
poll(30, 'the first event is in Kafka', sub { 1 == seen() });
like(($t->{kafka}->read('clicks'))[0]{value}, qr/"data":"first"/, 'and it is the one that was sent');

my ($master) = $run->log_text =~ /kill -HUP (\d+)/;
ok($master, 'it says which process nginx is');
my ($worker) = $t->workers($master);
$t->kill9($worker);
is($t->get('/sn/log?topic=clicks&data=second')->{status}, 204, 'an event is taken when a worker was killed');
poll(30, 'the second event is in Kafka', sub { 2 == seen() });

my ($subscriber) = grep { cmdline($_) =~ /\bsubscribe\b/ } children($run->pid);
$t->kill9($subscriber);
is($t->get('/sn/log?topic=clicks&data=meanwhile')->{status}, 204, 'an event is taken when the subscriber was killed');
poll(30, 'it is in Kafka, by a new subscriber', sub { 3 == seen() });
$t->kill9($master);
$run->says(qr/(nginx was ended)/, 20);
poll(30, 'a new nginx answers', sub { $t->get('/sn/log?topic=clicks&data=again')->{status} == 204 });
poll(30, 'its event is in Kafka', sub { 4 == seen() });

$t->{kafka}->stop;
is($t->get('/sn/log?topic=clicks&data=third')->{status}, 204, 'an event is taken while Kafka is away');
is($run->stop('INT', 30), 0, 'Ctrl-C: it stops cleanly');
like($run->log_text, qr/stays in \S+ring.*1 in ring/s, 'and says what is left');

$run = start(sub { $t->{kafka}->start->wait });
poll(60, 'the third event is in Kafka', sub { 5 == seen() });
is($run->stop('TERM', 30), 0, 'it stops cleanly again');

my $own = qr/process $worker exited on signal 9/;
is(join('', grep { /\[alert\]|panick/ && !/$own/ } split /^/m, $t->read_file('run/logs/error.log')), '', 'error.log has no alert but for the kill');

my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
my $port = $taken->sockport;
my ($code, $text) = $t->run(command($port, $t->port('live')));
is($code, 2, 'a port that is taken ends it');
my $next = $port + 1;
like($text, qr/port $port on 127\.0\.0\.1 is taken .* make run PORT=$next/, 'and it says which, and what to type');
$t->finish;

# How many events are in Kafka; a repeated one has the same sg.
sub seen {
    my %sg = map { $_->{headers}{sg} => 1 } $t->{kafka}->read('clicks');
    return scalar keys %sg;
}

sub cmdline {
    my ($pid) = @_;
    return $t->read_file("/proc/$pid/cmdline") =~ tr/\0/ /r;
}

sub command {
    return ('env', "RUN_DIR=$t->{dir}/run", "$Sparkngin::ROOT/tools/run.sh", @_, $t->{kafka}->address);
}

# `make run`, until it has said what to type; meanwhile something else may happen.
sub start {
    my ($meanwhile) = @_;
    my $daemon = $t->daemon(name => 'run.' . ++$runs, command => [ command($t->port, $t->port('live')) ]);
    $daemon->says(qr/(send an event)/, 30);
    $meanwhile->() if $meanwhile;
    return $daemon;
}
