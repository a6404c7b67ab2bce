#!/usr/bin/perl

# The examples do what they say: send.sh sends until an event was taken, live_reader.py shows events as they come,
# durable_subscriber.py misses none over its own kill -9, beside the subscriber that feeds Kafka.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(http => <<'CONF');
    sparkngin_subscriber python;
    sparkngin_format json;
    sparkngin_gzip on;
CONF
my $json = JSON::PP->new->utf8;
my $url = 'http://127.0.0.1:' . $t->port . '/sn';
my %sent;    # id -> payload

# --- send.sh ---

my ($code, $text) = send_sh('clicks', "caf\xc3\xa9 & 100% \"quoted\"\n");
is($code, 0, 'send.sh: an event was taken') or diag($text);
($code, $text) = send_sh('__no', 'x');
isnt($code, 0, 'a topic that cannot be is an error');
like($text, qr/topic/, 'and says so');

$t->stop;
my $waiting = $t->daemon(name => 'send', command => [ send_command('clicks', 'sent while nginx was away') ]);
$t->start->ready;
my ($id) = $waiting->says(qr/^([0-9a-f-]{36})$/m, 30);
is($waiting->ended, 0, 'send.sh sends again until nginx is there');
$sent{$id} = 'sent while nginx was away';

# --- live_reader.py ---

my $live = python('live_reader.py', 'tcp://127.0.0.1:' . $t->port('live'), 'show');
$t->get('/sn/log?topic=hidden&data=other');
is($t->get("/sn/log?topic=shown&id=s1&data=hello")->{status}, 204, 'an event for the live reader');
$sent{s1} = 'hello';
my ($line) = $live->says(qr/^(shown .*)$/m, 20);
like($line, qr/^shown \{.*"topic":"shown".*\}$/, 'live_reader.py prints topic and event');
unlike($live->log_text, qr/hidden/, 'and only the topics it was asked for');
$live->stop;

# --- durable_subscriber.py ---

my $durable = python('durable_subscriber.py', $t->feed, 'python');
poll(20, 'it has acknowledged all', sub { $t->books('python')->{in_ring} == 0 });
my $load = $t->load(rate => 2000);
$load->wait_more(1000);
for (1 .. 3) {
    $load->fault('durable_subscriber.py -9', sub { $durable->kill9 });
    $load->wait_more(500);
    $durable->start;
    $load->wait_more(1000);
}
$load->stop;
$t->audit($load, name => 'Kafka beside it');
poll(60, 'it has acknowledged all', sub { $t->books('python')->{in_ring} == 0 });
my (%ids, %sgs);
for my $text (split /(?=\{"ip": )|\n/, $durable->log_text) {    # a line that was cut off has the next one behind it
    my ($id) = $text =~ /"id": "([^"]+)"/ or next;
    my ($sg) = $text =~ /"sg": "([^"]+)"/ or next;    # and it comes again
    $ids{$id}{$sg}++;
    $sgs{$sg}++;
}
my @missing = grep { $_->{status} == 204 && !$ids{ $_->{id} } } $load->events;
is(scalar @missing, 0, 'durable_subscriber.py: every event was printed, over three times kill -9');
is(scalar(grep { keys %{ $ids{$_} } > 1 } keys %ids), 0, 'what was printed twice has the same sg');
is($t->books('python')->{lost}, 0, 'none was lost');
is_deeply([ grep { !$ids{$_} } keys %sent ], [], 'what send.sh sent is there, too');
$durable->stop;

# --- and all of it in Kafka ---

my %value = map { my $value = $json->decode($_->{value}); ($value->{id} => $value->{data}) } map { $t->{kafka}->read($_) } qw(clicks shown);
is_deeply(\%value, \%sent, 'in Kafka under the ids that send.sh printed');
$t->{totals}{taken} += 1 + keys %sent;
$t->close_books;
$t->finish;

sub send_command { return ('/bin/sh', '-c', 'printf %s "$0" | exec "$@"', $_[1], "$Sparkngin::ROOT/examples/send.sh", $url, $_[0]) }

sub send_sh {
    my ($topic, $payload) = @_;
    my ($code, $text) = $t->run(send_command($topic, $payload));
    utf8::decode($payload);
    $sent{$1} = $payload if !$code && $text =~ /^([0-9a-f-]{36})$/m;
    return ($code, $text);
}

sub python {
    my ($example, @words) = @_;
    return $t->daemon(name => $example, env => { PYTHONDONTWRITEBYTECODE => 1 },
        command => [ $Sparkngin::PYTHON, '-u', "$Sparkngin::ROOT/examples/$example", @words ]);
}
