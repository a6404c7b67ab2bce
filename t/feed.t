#!/usr/bin/perl

# The connection between subscriber and feed, and the one between subscriber and Kafka, cut, reset, refused, half open,
# late and slow; a subscriber that stops, one with the smallest window, two of one name, garbage, a session gone on with
# from another connection. Nothing is lost, and what follows no crash is in Kafka once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Row qw(chosen seed);
use Sparkngin::Spine;

my $t = Sparkngin::Spine->new(buf_size => '256m', start => 0);
my %proxy = (feed => $t->feed_proxied, kafka => $t->kafka_proxied);
$t->start->ready;
$t->subscribe;
$t->attached;

# side, fault, how often, for how many seconds. A half-open connection to the feed is noticed after 3 s; one to Kafka by
# librdkafka's own time-out only, which takes too long for every day.
for (
    ['feed', 'cut', 1, 0], ['feed', 'refuse', 1, 0.5], ['feed', 'hang', 1, 0.5], ['feed', 'delay 5', 1, 4],
    ['feed', 'throttle 50000', 1, 2],
    ['kafka', 'cut', 1, 0], ['kafka', 'reset', 1, 0], ['kafka', 'refuse', 1, 0.5], ['kafka', 'hang', 0, 0.5],
    ['kafka', 'delay 5', 1, 4], ['kafka', 'throttle 50000', 1, 2],
) {
    my ($side, $command, $count, $seconds) = @$_;
    my ($name) = $command =~ /^(\w+)/;
    $t->row(12, "$side-$name", $count, sub {
        my ($load) = @_;
        # Now and then long enough that each side gives the other up.
        my $over = time + rand($seconds) + ($name eq 'hang' && rand() < 0.3 ? 4 : 0);
        $load->fault("$side: $command", sub { $proxy{$side}->tell($command) });
        pause_until($over);
        $proxy{$side}->tell('pass');
        $load->wait_more(300);
        healed($side eq 'feed' ? 20 : 150);
    }, audit => { seconds => 150, $side eq 'feed' ? (surplus => 'none') : () });
}

$t->row(12, 'stopped', 1, sub {
    my ($load, $n) = @_;
    $load->fault('the subscriber stops', sub { $t->{subscriber}->signal('STOP') });
    pause_until(time + ($n % 4 ? rand : 4));
    $t->{subscriber}->signal('CONT');
    $load->wait_more(500);
}, audit => { surplus => 'none' });

$t->row(12, 'window', 1, sub {
    my ($load) = @_;
    $load->fault('the subscriber leaves', sub { $t->{subscriber}->signal('TERM') });
    is($t->{subscriber}->ended, 0, 'it drains');
    $t->subscribe('--create-topics', '--window', '64k');
    $t->attached;
    $load->wait_more(1000);
}, audit => { surplus => 'none' });

$t->row(12, 'name', 1, sub {
    my ($load) = @_;
    my $first = $t->{subscriber};
    $load->fault('a second subscriber of the name', sub { $t->subscribe });
    is($first->ended, 3, 'two of one name: the earlier one leaves with 3');
    $t->attached;
    $load->wait_more(300);
});

$t->row(12, 'garbage', 1, sub {
    my ($load, $n) = @_;
    my $peer = $t->daemon(name => "garbage.$n", command => [ peer('garbage', "ipc://$t->{dir}/ring/feed.sock", live(), seed() + $n) ]);
    $load->fault('garbage', sub { $peer->says(qr/said everything/, 60) });
    is($peer->ended, 0, 'garbage was said on both sockets');
}, audit => { surplus => 'none' });

if (chosen('stale')) {
    $t->spine_conf(http => 'sparkngin_subscriber stranger;');
    $t->reload->ready;
    $t->row(12, 'stale', 1, sub {
        my ($load, $n) = @_;
        $load->fault('a session from another connection', sub {
            my ($code, $text) = $t->run(peer('stale', "ipc://$t->{dir}/ring/feed.sock", 'stranger'));
            is($text, "REFUSED session\n" x 2, 'is refused, twice');
        });
        is($t->books('stranger')->{in_kafka}, 0, 'and acknowledges nothing');
        $load->wait_more(300);
    }, audit => { surplus => 'none' });
    $t->spine_conf(http => '');
    $t->reload->ready;
}

$t->attached;
$t->close_books;
$t->finish;

# The subscriber goes on: what it has acknowledged grows. (libzmq's own patience with a handshake is 30 s.)
sub healed {
    my ($seconds) = @_;
    my $before = eval { $t->books->{in_kafka} } // 0;
    poll($seconds, 'acknowledgements come in again', sub { (eval { $t->books->{in_kafka} } // 0) > $before });
}

sub live { return 'tcp://127.0.0.1:' . $t->port('live') }
sub peer { return ($Sparkngin::PYTHON, "$Sparkngin::ROOT/t/lib/peer.py", @_) }
