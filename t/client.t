#!/usr/bin/perl

# The Rust client, by examples/send_events.rs: 10,000 events in batches, while nginx is reloaded, a worker of it killed, and all of it
# stopped and started again. Each is in Kafka; what is there twice has the same id.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Sparkngin::Spine;

my $program = "$Sparkngin::BUILD/send_events";
die "$program is missing: run `make client` first\n" if !-x $program;

# nginx takes 10 requests a second, 20 s for all of them, until the last of these faults was struck: so events are sent all the while.
my $place = 'location /paced/ { %s client_body_buffer_size 64k; sparkngin_root_loc; }';
my $t = Sparkngin::Spine->new(
    http => 'limit_req_zone $request_method zone=pace:64k rate=10r/s;',
    server => sprintf($place, 'limit_req zone=pace burst=100000;'),
);
my $json = JSON::PP->new->utf8;
my $count = 10_000;
my $sender = $t->daemon(name => 'send_events', command => [ $program, 'http://127.0.0.1:' . $t->port . '/paced/log/clicks', $count ]);

taken(500);
$t->reload(wait => 0);
taken(1000);
$t->kill9(($t->workers)[0]);
taken(1500);
$t->stop;
ok($sender->running, 'it still sends while nginx is away');
$t->spine_conf(server => sprintf($place, ''));
$t->start->ready;
is($sender->ended(120), 0, 'it has sent all') or diag($sender->log_text);
like($sender->log_text, qr/^$count stored, 0 refused, 0 dropped; \d+ sent again, \d+ requests$/m, 'and says so');

$t->drained;
my (%n, %again);
for my $record ($t->{kafka}->read('clicks')) {
    my $event = $json->decode($record->{value});
    $again{ $event->{id} }++;
    $n{ $event->{id} } = $event->{data}{n};
}
is(join(' ', sort { $a <=> $b } values %n), join(' ', 1 .. $count), 'each event is in Kafka, once by its id');
is(scalar(grep { !/^[0-9a-f]{32}-$n{$_}$/ } keys %n), 0, 'under the id that the client gave it');
note(scalar(grep { $_ > 1 } values %again), ' are there more than once');
is($t->books->{committed}, eval { my $sum = 0; $sum += $_ for values %again; $sum }, 'what was stored is there, and nothing else');

# What the server will never take is given up and told; so is an address that is none.
my ($code, $said) = $t->run($program, 'http://127.0.0.1:' . $t->port . '/sn/log/__no', 3);
is($code, 1, 'a topic that cannot be is an error');
# Both of its outputs are in there, one within the other perhaps.
like($said, qr/\b0 stored, 3 refused, 0 dropped/, 'which is counted');
is(scalar(() = $said =~ /"id":"[0-9a-f]+-[123]"/g), 3, 'and told of each event');
like($said, qr/topic "__no" is not the name of a topic/, 'with the reason');
($code, $said) = $t->run($program, 'https://127.0.0.1/sn/log/clicks', 1);
like($said, qr/no address of a .log: http:/, 'so is an address with TLS');
$t->finish;

# Waits until at least so many events are stored.
sub taken {
    my ($least) = @_;
    poll(120, "$least events are stored", sub { (eval { $t->books->{committed} } // 0) >= $least });
    ok($sender->running, "with $least events stored it still sends");
}
