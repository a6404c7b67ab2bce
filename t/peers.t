#!/usr/bin/perl

# Peers that do what they should not: garbage and truncated frames on both sockets, an ACK beyond what was sent, two
# subscribers of one name, a named subscriber that never comes, one that is slow or late, a topic of its own in every event. Nothing is lost, and
# nobody else is held up but as the configuration says.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my $seed = $ENV{SEED} // time;
note("SEED=$seed");
my $t = Sparkngin::Spine->new(buf_size => '8m', http => 'sparkngin_subscriber stranger;');
my $live = 'tcp://127.0.0.1:' . $t->port('live');

# Two names hold events: `stranger` has not come yet.
{
    my $load = $t->load(rate => 2000);
    $load->wait_more(500);
    my $peer = $t->daemon(name => 'garbage', command => [ peer('garbage', $t->feed, $live, $seed) ]);
    $load->fault('garbage', sub { $peer->says(qr/said everything/, 60) });
    is($peer->ended, 0, 'garbage was said on both sockets');
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => 'garbage on both sockets', surplus => 'none');
    is($t->books('stranger')->{in_kafka}, 0, 'nobody has acknowledged for the stranger');
}
{
    my $before = $t->books('stranger');
    cmp_ok($before->{in_ring}, '>', 1000, 'the ring holds all of it for the stranger');
    my ($code, $text) = $t->run(peer('beyond', $t->feed, 'stranger'));
    is($code, 0, 'an ACK beyond what was sent') or diag($text);
    like($text, qr/WELCOME\nBATCH\n(?:\w+\n)*REFUSED session\n/, 'ends the session');
    is($t->books('stranger')->{in_kafka}, 0, 'and acknowledges nothing');
}

# It never comes again: under `reject` the ring fills up, /imok names it; without its name events are taken again.
{
    my $load = $t->load(rate => 4000);
    $load->fault('nobody answers for the stranger', sub { 1 });
    my $imok = poll(60, 'the ring is full', sub { my $it = $t->get('/sn/imok'); $it->{status} == 503 && $it });
    like($imok->{body}, qr/stranger/, '/imok names the subscriber that never comes');
    unlike($imok->{body}, qr/kafka/, 'and not the one that does its work');
    $t->spine_conf(http => '');
    $t->reload->ready;
    $load->wait_more(2000);
    $load->stop;
    $t->audit($load, name => 'a named subscriber that never comes');
}

# Slow and late: stopped for longer than the publisher waits for its BEAT, so its session is gone when it goes on; then
# away while events come in.
{
    my $load = $t->load(rate => 2000);
    $load->fault('the subscriber stops', sub { $t->{subscriber}->signal('STOP') });
    poll(20, 'the publisher has closed its session', sub { !$t->books->{connected} });
    $load->wait_more(500);
    $t->{subscriber}->signal('CONT');
    poll(20, 'it has another one', sub { $t->books->{connected} });
    $load->wait_more(1000);
    is($t->{subscriber}->stop, 0, 'the subscriber leaves');
    $load->wait_more(2000);
    $t->subscribe;
    $t->attached;
    $load->stop;
    $t->audit($load, name => 'a slow and a late subscriber');
}

# Two of one name: the later one goes on, the earlier one leaves with 3 and says to whom.
{
    my $load = $t->load(rate => 2000);
    my $first = $t->{subscriber};
    $load->fault('a second subscriber of the name', sub { $t->subscribe });
    is($first->ended, 3, 'two of one name: the earlier one leaves with 3');
    like($first->log_text, qr/another|fenced|took over/i, 'and says why');
    $t->attached;
    $load->wait_more(1000);
    $load->stop;
    $t->audit($load, name => 'two subscribers of one name');
}

# A topic of its own in every event: none is made, all are in the dead letter, the others' topic goes on.
{
    is($t->{subscriber}->stop, 0, 'the subscriber drains and leaves');
    my $known = 'load.known';
    $t->write_file('known', '');
    $t->subscribe;
    $t->attached;
    my $warm = $t->load(topic => $known, count => 10);
    $warm->complete;
    $t->audit($warm, name => 'a topic is made');
    is($t->{subscriber}->stop, 0, 'the subscriber drains and leaves');
    $t->subscribe('--dead-letter', 'topic:sparkngin.dead');
    $t->attached;
    my %before = $t->{kafka}->topics;
    my $flood = $t->load(topic => 'flood', topics => 1_000_000, rate => 1000, count => 3000);
    my $load = $t->load(topic => $known, rate => 2000);
    $load->fault('a flood of topics', sub { $flood->wait_more(1000) });
    $flood->complete;
    $load->stop;
    $t->audit($load, name => 'beside a flood of topics');
    my %after = $t->{kafka}->topics;
    is_deeply([ grep { !$before{$_} } sort keys %after ], [], 'not one topic was made');
    my %dead = map { ($_->{value} =~ /"id":"(\w+)"/ ? $1 : '') => 1 } $t->{kafka}->read('sparkngin.dead');
    is(scalar(grep { $_->{status} == 204 && !$dead{ $_->{id} } } $flood->events), 0, 'each of the flood is in the dead letter');
    $t->{totals}{taken} += grep { $_->{status} == 204 } $flood->events;
}

$t->close_books;
$t->finish;

sub peer { return ($Sparkngin::PYTHON, "$Sparkngin::ROOT/t/lib/peer.py", @_) }
