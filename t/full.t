#!/usr/bin/perl

# The ring full, for want of a subscriber. `reject`: 503 with Retry-After, and events are taken again by themselves when
# it comes back; nothing is lost. `overwrite`: it goes on answering, and the lost in /status, the LOST that the
# subscriber is told, and what is missing in Kafka agree to the event.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Test::More;
use Sparkngin::Spine;

{
    my $t = Sparkngin::Spine->new(buf_size => '1m', policy => 'reject');
    my $load = $t->load(rate => 3000);
    $load->wait_more(1000);
    $load->fault('the subscriber leaves', sub { $t->{subscriber}->signal('TERM') });
    is($t->{subscriber}->ended, 0, 'TERM: the subscriber drains and leaves');
    my $refused = poll(20, '503', sub {
        my $answer = $t->get('/sn/log?topic=probe');
        $t->{totals}{taken}++ if $answer->{status} == 204;
        return $answer->{status} == 503 && $answer;
    });
    like($refused->{headers}{'retry-after'} // '', qr/^\d+$/, 'reject: 503 with Retry-After when the ring is full');
    like($refused->{body}, qr/^\{.*"error"/, 'and the reason');
    # The other worker may still have room in its block.
    my $imok = poll(10, '/imok says 503', sub { my $it = $t->get('/sn/imok'); $it->{status} == 503 && $it });
    pass('/imok: an event sent now would not be accepted');
    like($imok->{body}, qr/kafka/, 'it names who holds the ring full');
    poll(10, 'status says since when', sub { defined $t->books->{holds_ring_full_ms} });
    $t->logged(qr/kafka/);
    my $taken = $load->taken;
    $t->subscribe;
    $load->wait_more(3000);
    pass('events are taken again by themselves when the subscriber is back');
    $t->attached;
    $load->stop;
    ok((grep { $_->{status} == 503 } $load->events) > 0, 'the load met 503, too');
    $t->audit($load, name => 'reject');
    is($t->lost_told, 0, 'reject: LOST says 0');
    $t->close_books;
    $t->finish(done => 0);
}

{
    my $t = Sparkngin::Spine->new(buf_size => '1m', policy => 'overwrite', ack => 'ring timeout=100s');
    my $load = $t->load(rate => 3000);
    $load->wait_more(1000);
    $load->fault('the subscriber leaves', sub { $t->{subscriber}->signal('TERM') });
    is($t->{subscriber}->ended, 0, 'TERM: the subscriber drains and leaves');
    my $waits = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port) or die;
    syswrite $waits, "GET /sn/log?topic=waits HTTP/1.1\r\nHost: a\r\nSparkngin-Ack: kafka\r\nConnection: close\r\n\r\n";
    $load->wait_more(15_000);
    my $imok = $t->get('/sn/imok');
    is($imok->{status}, 200, 'overwrite: an event sent now would be accepted');
    $t->subscribe;
    $load->wait_more(1000);
    $t->attached;
    $load->stop;
    is(scalar(grep { $_->{status} != 204 } $load->events), 0, 'overwrite: each event was answered with success');
    my $late = $t->raw('', socket => $waits, timeout => 60);
    # Of a worker that had nothing else to do the block is never sealed, and so not overwritten.
    if ($late->{status} == 204) {
        is($t->{kafka}->count('waits'), 1, 'who waited for Kafka meanwhile is answered with success: the event is there');
        $t->{totals}{taken}++;
    } else {
        is($late->{status}, 504, 'who waited for Kafka meanwhile is not answered with success');
        like($late->{body}, qr/events were lost .* perhaps this one/, 'for the event may be among the lost ones');
        $t->{totals}{unanswered}++;
        $t->{totals}{missing}++;
    }
    my $found = $t->audit($load, name => 'overwrite', lost => 'counted');
    my $lost = $t->lost_told;
    ok($lost > 1000, "more than a thousand were overwritten: $lost");
    is($t->books->{lost}, $lost, '/status and LOST agree to the event');
    is($t->{totals}{missing}, $lost, 'and so does what is missing in Kafka');
    $t->close_books;
    $t->finish;
}
